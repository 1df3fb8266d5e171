// Checks that bytes are UTF-8 before they go into a message: protobuf's string
// fields take nothing else, and the server's refusal would not say where.
//
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CPP_UTF8_H_
#define EIDETIC_CLIENTS_CPP_UTF8_H_

#include <cstddef>
#include <optional>
#include <string_view>

namespace eidetic::client {

// Offset of the first byte that begins no well-formed character (RFC 3629: no
// overlong forms, no surrogates, at most U+10FFFF); nothing when all are.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

// Whether the byte continues a character that began before it.
inline bool IsUtf8Continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_UTF8_H_
