// UTF-8, one character at a time.
//
// Thread safety: pure functions. Ownership: none. Preconditions: as said at
// each; no input is undefined.
#ifndef EIDETIC_ENGINE_TEXT_UTF8_H_
#define EIDETIC_ENGINE_TEXT_UTF8_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace eidetic {

enum class Utf8Kind {
  kCharacter,
  kTruncated,  // the bytes end inside a character that more bytes could finish
  kInvalid,    // no further bytes can make it a character
};

struct Utf8Step {
  Utf8Kind kind;
  // Bytes taken. Of an invalid sequence it is the longest beginning of a
  // character (Unicode 15, section 3.9, "maximal subpart"), at least 1.
  size_t length;
  char32_t code_point;  // of a kCharacter
};

// Precondition: `bytes` is not empty.
Utf8Step NextUtf8(std::string_view bytes);

// The offset of the first byte that is not part of a character.
std::optional<size_t> FindInvalidUtf8(std::string_view bytes);

// Precondition: `code_point` is a Unicode scalar value.
void AppendUtf8(char32_t code_point, std::string* out);

// Moves every complete character from the front of `pending` to `out` and
// turns each invalid sequence into U+FFFD; a truncated one stays in `pending`.
void DrainUtf8(std::string* pending, std::string* out);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_UTF8_H_
