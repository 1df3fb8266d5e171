// The audit log: one line for each administrative act.
//
// What: lines of the server's log that begin with "audit " and go on with one JSON object. They
//   tell what was asked for and by whom, before it is done; no secret and no user's text.
// Thread safety: thread-safe. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_AUDIT_H_
#define EIDETIC_SERVER_IDENTITY_AUDIT_H_

#include <string>

#include "absl/status/status.h"
#include "server/identity/caller.h"

namespace eidetic {

// `caller`, an admin, asks for `act` on `resource`, whatever form that has.
void AuditCall(const Caller& caller, const std::string& act, const std::string& resource);
// The file of `flag` changed, and was taken or not.
void AuditFile(const std::string& flag, bool taken);

// The line without "audit ", for tests.
std::string AuditJson(const Caller& caller, const std::string& act, const std::string& resource);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_AUDIT_H_
