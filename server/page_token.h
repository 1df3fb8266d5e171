// Page tokens of lists: opaque to clients, bound to the list's parent.
//
// What: a version, the last item given, and a checksum over both and the parent. The checksum
//   catches what was damaged or taken from another list; it grants nothing, since each request
//   is checked against its own parent.
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_PAGE_TOKEN_H_
#define EIDETIC_SERVER_PAGE_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"

namespace eidetic {

// The token for the page that begins after `last`.
std::string EncodePageToken(const std::string& parent, const std::string& last);

// `last` again; "" for an empty token. INVALID_ARGUMENT naming page_token when this server did
// not give it for `parent`.
absl::StatusOr<std::string> DecodePageToken(const std::string& parent, const std::string& token);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_PAGE_TOKEN_H_
