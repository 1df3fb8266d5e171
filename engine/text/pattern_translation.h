// Rewrites a pre-tokenizer's regular expression for PCRE2.
//
// What: tokenizer.json patterns are written for Oniguruma (Ruby syntax).
//   Constructs that mean the same to both pass, a few are rewritten, and
//   everything else is refused, so that no pattern silently splits otherwise
//   than in training.
// Thread safety: pure function. Ownership: none. Preconditions: `pattern` is
//   valid UTF-8; it may be hostile.
#ifndef EIDETIC_ENGINE_TEXT_PATTERN_TRANSLATION_H_
#define EIDETIC_ENGINE_TEXT_PATTERN_TRANSLATION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace eidetic {

// Passed: sets, groups, look-ahead, greedy, lazy and possessive repeats,
// \p{L} \p{N} \s \S \r \n \t, and (?i:...) around the English contractions.
// Rewritten: \s and \S (PCRE2 counts U+180E as a space, Unicode and Oniguruma
// do not), \p{L} and \p{N} (Debian's PCRE2 knows the letters of Unicode 14,
// Oniguruma those of 16). Errors: INVALID_ARGUMENT naming the construct.
absl::StatusOr<std::string> ToPcre2(std::string_view pattern);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_PATTERN_TRANSLATION_H_
