// Why a caller was not let in.
//
// What: each failure has a label for the metrics and words for the caller. The words tell what to
//   do and nothing about what is known here.
// Thread safety: pure. Ownership: values. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_AUTH_FAILURE_H_
#define EIDETIC_SERVER_IDENTITY_AUTH_FAILURE_H_

#include <variant>

#include "absl/status/status.h"
#include "server/identity/caller.h"

namespace eidetic {

enum class AuthFailure {
  kMissing,
  kAmbiguous,
  kNotTaken,
  kUnknownKey,
  kTokenMalformed,
  kTokenKey,
  kTokenSignature,
  kTokenExpired,
  kTokenNotYetValid,
  kTokenIssuer,
  kTokenAudience,
  kTokenClaims,
  kUnknownCertificate,
};

// The label of eidetic_auth_failures_total{reason}.
const char* ReasonOf(AuthFailure failure);
// UNAUTHENTICATED, with the remedy.
absl::Status ToStatus(AuthFailure failure);

using Verdict = std::variant<Caller, AuthFailure>;

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_AUTH_FAILURE_H_
