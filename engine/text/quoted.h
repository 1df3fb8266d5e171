// Foreign text in error messages.
//
// Thread safety: pure function. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_TEXT_QUOTED_H_
#define EIDETIC_ENGINE_TEXT_QUOTED_H_

#include <string>
#include <string_view>

namespace eidetic {

// `text` in quotes, escaped and cut to 40 bytes, so that a message stays one
// short line whatever a file or a request put into it.
std::string Quoted(std::string_view text);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_QUOTED_H_
