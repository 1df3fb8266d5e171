#include "engine/text/nfc.h"

#include <glog/logging.h>
#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "engine/text/utf8.h"

namespace eidetic {
namespace {

// The longest canonical decomposition of one character has 4 code points.
constexpr int kMaxDecomposition = 8;
// Below U+0300, whose first byte this is, every text is its own NFC.
constexpr char kFirstByteThatMatters = '\xCC';

constexpr auto kNfc = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

int CombiningClass(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

std::vector<utf8proc_int32_t> Decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    CHECK(step.kind == Utf8Kind::kCharacter);
    utf8proc_int32_t parts[kMaxDecomposition];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code_point), parts,
                                           kMaxDecomposition, kNfc, &boundary);
    CHECK(n > 0 && n <= kMaxDecomposition);
    out.insert(out.end(), parts, parts + n);
    text.remove_prefix(step.length);
  }
  return out;
}

// Canonical ordering (Unicode 15, D109). utf8proc's own moves marks one place
// at a time, which a hostile text makes quadratic.
void OrderMarks(std::vector<utf8proc_int32_t>* text) {
  const auto is_mark = [](utf8proc_int32_t c) { return CombiningClass(c) != 0; };
  auto begin = text->begin();
  while ((begin = std::find_if(begin, text->end(), is_mark)) != text->end()) {
    const auto end = std::find_if_not(begin, text->end(), is_mark);
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    begin = end;
  }
}

}  // namespace

std::string ToNfc(std::string_view text) {
  const bool unchanged = std::none_of(text.begin(), text.end(), [](char byte) {
    return static_cast<unsigned char>(byte) >= static_cast<unsigned char>(kFirstByteThatMatters);
  });
  if (unchanged) return std::string(text);
  std::vector<utf8proc_int32_t> code_points = Decompose(text);
  OrderMarks(&code_points);
  const auto n = utf8proc_normalize_utf32(code_points.data(),
                                          static_cast<utf8proc_ssize_t>(code_points.size()), kNfc);
  CHECK_GE(n, 0) << utf8proc_errmsg(n);
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i) AppendUtf8(code_points[i], &out);
  return out;
}

}  // namespace eidetic
