#include "engine/text/split_pattern.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/text/pattern_translation.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace eidetic {
namespace {

constexpr size_t kMaxPatternBytes = 4096;
// One match sees this much text at first and kReachGrowth times as much
// whenever that proves too little. Words end long before it.
constexpr size_t kFirstReach = 256;
constexpr size_t kReachGrowth = 4;
// Backtracking steps that one match may take, per byte that it sees.
constexpr uint32_t kStepsPerByte = 4;
// Bytes that all the repeated attempts in one text may see, per byte of it.
// The four families need at most 11 (a newline before a long run of spaces is
// scanned twice); a pattern that rescans the text at each place needs n.
constexpr int64_t kRescansPerByte = 16;
constexpr int64_t kRescansAtLeast = 1 << 20;
constexpr uint32_t kHeapLimitKiB = 16 << 10;

template <auto kFree>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    kFree(p);
  }
};

struct Match {
  size_t begin;
  size_t end;
};

class Scanner {
 public:
  Scanner(const pcre2_code* code, std::string_view text)
      : code_(code),
        text_(text),
        rescans_left_(kRescansAtLeast + kRescansPerByte * static_cast<int64_t>(text.size())),
        data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)) {
    CHECK(data_ != nullptr && context_ != nullptr);
    pcre2_set_heap_limit(context_.get(), kHeapLimitKiB);
  }

  // The first match at or after `from`; {size, size} when there is none.
  absl::StatusOr<Match> Next(size_t from) {
    size_t reach = kFirstReach;
    while (true) {
      const size_t end = CharacterBorder(from, reach);
      const int rc = Try(from, end, reach);
      if (rc >= 0) {
        const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data_.get());
        return Match{span[0], span[1]};
      }
      if (rc == PCRE2_ERROR_NOMATCH) {
        if (end == text_.size()) return Match{end, end};
        from = end;  // A match that begins before `end` would have been partial.
        continue;
      }
      const bool wants_more = rc == PCRE2_ERROR_PARTIAL || rc == PCRE2_ERROR_MATCHLIMIT;
      rescans_left_ -= static_cast<int64_t>(reach);
      if (!wants_more || rescans_left_ < 0) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the split pattern of tokenizer.json needs too much work at byte ", from,
                         " of the text (PCRE2 error ", rc, ")"));
      }
      reach *= kReachGrowth;
    }
  }

 private:
  size_t CharacterBorder(size_t from, size_t reach) const {
    if (reach >= text_.size() - from) return text_.size();
    size_t end = from + reach;
    while ((static_cast<uint8_t>(text_[end]) & 0xC0) == 0x80) --end;
    return end;
  }

  int Try(size_t from, size_t end, size_t reach) {
    const uint64_t steps = static_cast<uint64_t>(reach) * kStepsPerByte;
    pcre2_set_match_limit(context_.get(),
                          static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
    // What touches the end of the visible text may go on beyond it.
    const uint32_t partial = end < text_.size() ? PCRE2_PARTIAL_HARD : 0;
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text_.data()), end, from,
                       PCRE2_NO_UTF_CHECK | partial, data_.get(), context_.get());
  }

  const pcre2_code* code_;
  std::string_view text_;
  int64_t rescans_left_;
  std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>> data_;
  std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>> context_;
};

}  // namespace

void SplitPattern::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pattern has over ", kMaxPatternBytes, " bytes"));
  }
  const absl::StatusOr<std::string> translated = ToPcre2(pattern);
  if (!translated.ok()) return translated.status();
  std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>> context(
      pcre2_compile_context_create(nullptr));
  CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NO_AUTO_CAPTURE, &error, &offset, context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("PCRE2 refuses the pattern with error ", error));
  }
  SplitPattern compiled(code);
  uint32_t matches_empty = 0;
  CHECK_EQ(pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &matches_empty), 0);
  if (matches_empty != 0) {
    return absl::InvalidArgumentError("the pattern matches the empty string");
  }
  // Without a JIT for this machine or pattern, the interpreter gives the same matches.
  const int jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  LOG_IF(WARNING, jit != 0) << "tokenizer: no JIT for the split pattern, PCRE2 error " << jit;
  return compiled;
}

absl::Status SplitPattern::Split(std::string_view text,
                                 absl::FunctionRef<void(std::string_view)> emit) const {
  Scanner scanner(code_.get(), text);
  for (size_t at = 0; at < text.size();) {
    const absl::StatusOr<Match> match = scanner.Next(at);
    if (!match.ok()) return match.status();
    if (match->begin > at) emit(text.substr(at, match->begin - at));
    if (match->end > match->begin) emit(text.substr(match->begin, match->end - match->begin));
    at = match->end;
  }
  return absl::OkStatus();
}

}  // namespace eidetic
