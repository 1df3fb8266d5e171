// How a server learns who calls: its flags, and which of them make sense together.
//
// Thread safety: plain values, pure functions. Ownership: values. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_IDENTITY_OPTIONS_H_
#define EIDETIC_SERVER_IDENTITY_IDENTITY_OPTIONS_H_

#include <string>

#include "absl/status/status.h"

namespace eidetic {

// Each is the flag of its name; paths are of files, which are read again when they change.
struct IdentityOptions {
  std::string tls_certificate, tls_key;  // PEM; empty: no TLS
  std::string tls_client_ca;             // PEM; empty: clients need no certificate
  std::string api_keys;                  // see api_keys.h
  std::string jwks;                      // see json_web_keys.h
  std::string jwt_issuer, jwt_audience;  // what tokens must say
  bool allow_anonymous = false;          // whoever reaches the port is served, on any address

  // Whether callers must show who they are.
  bool asks() const { return !api_keys.empty() || !jwks.empty(); }
};

// Whether only this machine reaches `address`, as --address has it. A name other than "localhost"
// is taken for reachable.
bool IsLoopback(const std::string& address);

// INVALID_ARGUMENT naming the flag and the remedy: half of a pair, or an open door.
absl::Status CheckIdentityOptions(const IdentityOptions& options, const std::string& address);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_IDENTITY_OPTIONS_H_
