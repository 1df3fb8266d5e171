// The version of this server.
//
// Thread safety: a constant. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_VERSION_H_
#define EIDETIC_SERVER_VERSION_H_

namespace eidetic {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace eidetic

#endif  // EIDETIC_SERVER_VERSION_H_
