#include "server/identity/auth_failure.h"

namespace eidetic {
namespace {

struct Telling {
  const char* reason;
  const char* words;
};

Telling TellingOf(AuthFailure failure) {
  switch (failure) {
    case AuthFailure::kMissing:
      return {"missing",
              "there is no credential; send the header 'authorization: Bearer <API key or token>' "
              "or 'x-api-key: <API key>'"};
    case AuthFailure::kAmbiguous:
      return {"ambiguous", "there are several credentials; send one"};
    case AuthFailure::kNotTaken:
      return {"not_taken",
              "this server does not take credentials of this kind; send 'Bearer' and an API key or "
              "a token, whichever its operator gives out"};
    case AuthFailure::kUnknownKey:
      return {"unknown_key", "the API key is not valid here; ask the operator for one"};
    case AuthFailure::kTokenMalformed:
      return {"token_malformed", "the token is no signed JWT in compact form; get a new one"};
    case AuthFailure::kTokenKey:
      return {"token_key",
              "the token names a key or an algorithm that is not taken; it must be RS256 or ES256, "
              "by a key (kid) that this server has"};
    case AuthFailure::kTokenSignature:
      return {"token_signature", "the token's signature is not valid; get a new one"};
    case AuthFailure::kTokenExpired:
      return {"token_expired", "the token has expired, or has no 'exp'; get a new one"};
    case AuthFailure::kTokenNotYetValid:
      return {"token_not_yet_valid", "the token is not valid yet; check the clocks"};
    case AuthFailure::kTokenIssuer:
      return {"token_issuer", "the token's 'iss' is not the issuer that this server trusts"};
    case AuthFailure::kTokenAudience:
      return {"token_audience", "the token's 'aud' does not name this server"};
    case AuthFailure::kTokenClaims:
      return {"token_claims",
              "the token's claims are not those of a caller: 'tenant' is a tenant's id, 'role' is "
              "'user' or 'admin' or absent, 'sub' is at most 128 characters of ASCII"};
    case AuthFailure::kUnknownCertificate:
      return {"unknown_certificate",
              "the client certificate stands for no tenant here, and there is no other credential; "
              "ask the operator to enter its common name, or send an API key or a token"};
  }
  return {"unknown", "the caller is not known"};
}

}  // namespace

const char* ReasonOf(AuthFailure failure) { return TellingOf(failure).reason; }

absl::Status ToStatus(AuthFailure failure) {
  return absl::UnauthenticatedError(TellingOf(failure).words);
}

}  // namespace eidetic
