// Unicode normalisation form C.
//
// Thread safety: pure function. Ownership: none. Preconditions: the text is
// valid UTF-8 of at most 1 GiB. O(n log n) for any text, also for one that
// stacks a million accents on one letter.
//
// The tables are utf8proc's (Unicode 15). Hugging Face's are older: about a
// hundred marks that are newer than they are (U+0898, U+1ABF, ...) change
// places with other marks here and not there.
#ifndef EIDETIC_ENGINE_TEXT_NFC_H_
#define EIDETIC_ENGINE_TEXT_NFC_H_

#include <string>
#include <string_view>

namespace eidetic {

std::string ToNfc(std::string_view text);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_NFC_H_
