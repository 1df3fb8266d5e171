// The alphabet in which byte-level BPE files spell bytes.
//
// What: each of the 256 bytes is one printable character, so that a vocabulary
//   can be JSON: printable Latin-1 stands for itself, the other 68 bytes for
//   U+0100 and up, in order ("\n" is U+010A, " " is U+0120). From GPT-2.
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_TEXT_BYTE_ALPHABET_H_
#define EIDETIC_ENGINE_TEXT_BYTE_ALPHABET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace eidetic {

// The character that stands for `byte`.
char32_t LetterOfByte(uint8_t byte);

// The bytes that a spelling stands for ("Ġthe" is " the"); nullopt when it has
// a character outside the alphabet, as some added tokens do.
// Precondition: `spelling` is UTF-8.
std::optional<std::string> BytesOfSpelling(std::string_view spelling);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_BYTE_ALPHABET_H_
