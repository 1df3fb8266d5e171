// Who makes a call.
//
// Thread safety: plain value. Ownership: value. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_CALLER_H_
#define EIDETIC_SERVER_IDENTITY_CALLER_H_

#include <string>

namespace eidetic {

enum class Role {
  kUser,       // its own tenant
  kAdmin,      // every tenant; each act on another's is told in the audit log
  kAnonymous,  // nobody was asked who they are: every tenant
};

struct Caller {
  std::string tenant;  // the segment, as in tenants/{tenant}; empty for kAnonymous
  Role role = Role::kUser;
  std::string id;  // for the audit log: "key:ci", "token:alice", "certificate:gateway"

  bool operator==(const Caller&) const = default;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_CALLER_H_
