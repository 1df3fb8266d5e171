// Tokens (JWT, RFC 7519) in compact form (RFC 7515), checked.
//
// What: signature first, then the claims: `exp` must be there and `nbf` may; `iss` and `aud` must
//   be ours; `tenant` is the caller's, `role` "user" (when absent) or "admin", `sub` its name in
//   the audit log. Everything in a token is hostile until its signature is known to be good.
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_JSON_WEB_TOKEN_H_
#define EIDETIC_SERVER_IDENTITY_JSON_WEB_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "server/identity/auth_failure.h"
#include "server/identity/json_web_keys.h"

namespace eidetic {

inline constexpr size_t kMaxTokenBytes = 8192;
inline constexpr size_t kMaxSubjectBytes = 128;
// By how much the issuer's clock may differ from ours.
inline constexpr absl::Duration kClockLeeway = absl::Seconds(60);

struct TokenRules {
  std::string issuer, audience;
};

Verdict CheckToken(std::string_view token, const JsonWebKeys& keys, const TokenRules& rules,
                   absl::Time now);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_JSON_WEB_TOKEN_H_
