#include "engine/text/pattern_translation.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

// What Unicode 15, 15.1 and 16 added to the categories L and N.
constexpr std::string_view kNewLetters =
    R"(\x{1C89}\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65})"
    R"(\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}\x{11240}\x{11380}-\x{11389}\x{1138B}\x{1138E})"
    R"(\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3}\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10})"
    R"(\x{11F12}-\x{11F33}\x{1342F}\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D})"
    R"(\x{16D40}-\x{16D6C}\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D})"
    R"(\x{1E4D0}-\x{1E4EB}\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})";
constexpr std::string_view kNewNumbers =
    R"(\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59})"
    R"(\x{16130}-\x{16139}\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3})"
    R"(\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA})";

constexpr size_t kQuotedBytes = 12;

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translator {
 public:
  explicit Translator(std::string_view rest) : rest_(rest) {}

  absl::StatusOr<std::string> Run() {
    while (!rest_.empty()) {
      absl::Status status = rest_[0] == '\\' ? Escape() : in_class_ ? ClassMember() : Outside();
      if (!status.ok()) return status;
    }
    return std::move(out_);
  }

 private:
  absl::Status Refuse() const {
    return absl::InvalidArgumentError(
        absl::StrCat("the construct at ", Quoted(rest_.substr(0, kQuotedBytes)),
                     " is not supported; use the GPT-2, GPT-NeoX, Llama-3 or Qwen2 pattern"));
  }

  absl::Status Copy(size_t n) { return Replace(n, rest_.substr(0, n)); }

  absl::Status Replace(size_t n, std::string_view with) {
    out_.append(with);
    rest_.remove_prefix(n);
    return absl::OkStatus();
  }

  absl::Status Category(size_t n, std::string_view name, std::string_view newer) {
    if (!in_class_) out_.push_back('[');
    out_.append(name).append(newer);
    if (!in_class_) out_.push_back(']');
    rest_.remove_prefix(n);
    return absl::OkStatus();
  }

  absl::Status Escape() {
    if (rest_.starts_with("\\p{L}")) return Category(5, "\\p{L}", kNewLetters);
    if (rest_.starts_with("\\p{N}")) return Category(5, "\\p{N}", kNewNumbers);
    if (rest_.size() < 2) return Refuse();
    const char c = rest_[1];
    if (c == 's') return Replace(2, "\\p{White_Space}");
    if (c == 'S') return Replace(2, "\\P{White_Space}");
    if (c == 'r' || c == 'n' || c == 't') return Copy(2);
    const bool punctuation = c > ' ' && c < 0x7F && !IsAsciiDigit(c) && !IsAsciiLetter(c);
    return punctuation ? Copy(2) : Refuse();
  }

  // Inside [...] Oniguruma has nested sets and intersections; PCRE2 has not.
  absl::Status ClassMember() {
    if (rest_[0] == '[' || rest_.starts_with("&&")) return Refuse();
    if (rest_[0] == ']') in_class_ = false;
    return Copy(1);
  }

  absl::Status Outside() {
    switch (rest_[0]) {
      case '^':  // In Ruby, the borders of a line.
      case '$':
      case '.':
        return Refuse();
      case '[': {
        in_class_ = true;
        const size_t n = rest_.starts_with("[^") ? 2 : 1;
        // "[]" is an empty set to one and holds a bracket to the other.
        return rest_.substr(n).starts_with("]") ? Refuse() : Copy(n);
      }
      case '(':
        return Group();
      case '{':
        return Interval();
      default:
        return Copy(1);
    }
  }

  absl::Status Group() {
    // The one (?i:...) that is known to fold case alike in both: Oniguruma also
    // folds one character to several ("ss" matches U+00DF).
    constexpr std::array<std::string_view, 4> kKnown = {"(?:", "(?=", "(?!",
                                                        "(?i:'s|'t|'re|'ve|'m|'ll|'d)"};
    for (const std::string_view known : kKnown) {
      if (rest_.starts_with(known)) return Copy(known.size());
    }
    return rest_.starts_with("(?") || rest_.starts_with("(*") ? Refuse() : Copy(1);
  }

  // {n}, {n,} or {n,m}; what follows it as + or ? means other things in Ruby.
  absl::Status Interval() {
    const size_t close = rest_.find('}');
    if (close == std::string_view::npos || !IsAsciiDigit(rest_[1])) return Refuse();
    const std::string_view body = rest_.substr(1, close - 1);
    const bool plain =
        std::all_of(body.begin(), body.end(), [](char c) { return IsAsciiDigit(c) || c == ','; });
    const std::string_view after = rest_.substr(close + 1);
    if (!plain || std::count(body.begin(), body.end(), ',') > 1 || after.starts_with('+') ||
        after.starts_with('?')) {
      return Refuse();
    }
    return Copy(close + 1);
  }

  std::string_view rest_;
  std::string out_;
  bool in_class_ = false;
};

}  // namespace

absl::StatusOr<std::string> ToPcre2(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace eidetic
