// Errors of the server as absl::Status, with their google.rpc details kept.
//
// Thread safety: pure functions. Ownership: values.
// Preconditions: none; details that can not be read are left out.
#ifndef EIDETIC_CLIENTS_CPP_STATUS_DETAILS_H_
#define EIDETIC_CLIENTS_CPP_STATUS_DETAILS_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace eidetic::client {

struct FieldViolation {
  std::string field;
  std::string description;
};

// The same code; the message, followed by the BadRequest's fields that it does not
// name itself. Each detail becomes a payload under its type URL.
absl::Status ToAbslStatus(const grpc::Status& status);

// When the server asks to try again (RetryInfo); nothing when it does not.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// The fields that were refused (BadRequest).
std::vector<FieldViolation> FieldViolations(const absl::Status& status);

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_STATUS_DETAILS_H_
