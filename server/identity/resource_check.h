// May this caller name what this request names?
//
// What: every resource that a request names stands in a string field of the request itself, called
//   name, parent, session or snapshot (a test walks all requests of all services). For a user of
//   one tenant, what belongs to another does not exist: NOT_FOUND, in the words that an absent one
//   gets, before anything is looked up. Admins' acts on other tenants are told in the audit log,
//   as are their deletions.
// Thread safety: thread-safe. Ownership: none. Preconditions: `request` was parsed.
#ifndef EIDETIC_SERVER_IDENTITY_RESOURCE_CHECK_H_
#define EIDETIC_SERVER_IDENTITY_RESOURCE_CHECK_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "server/identity/caller.h"

namespace eidetic {

// Whether the check looks at this field of a request.
bool NamesResource(const google::protobuf::FieldDescriptor& field);

absl::Status CheckResources(const Caller& caller, const google::protobuf::Message& request);

// The words about an operation that is not there.
absl::Status NoSuchOperation();

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_RESOURCE_CHECK_H_
