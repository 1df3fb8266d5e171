// The one place where a Status becomes what a client sees.
//
// What: code and message, with google.rpc details: ErrorInfo always; BadRequest for an
//   INVALID_ARGUMENT whose message begins "field: "; QuotaFailure for a tenant's quota; RetryInfo
//   for RESOURCE_EXHAUSTED, for UNAVAILABLE and for ABORTED (the session has another writer).
// Thread safety: pure function. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_GRPC_STATUS_H_
#define EIDETIC_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <cstddef>

#include "absl/status/status.h"

namespace eidetic {

inline constexpr char kErrorDomain[] = "eidetic";
// Message and details travel in headers, of which clients take 8 KiB.
inline constexpr size_t kMaxStatusMessageBytes = 1024;

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_GRPC_STATUS_H_
