// TLS for the server's port, and mTLS.
//
// What: gRPC reads the files again when they change; new connections get the new certificate.
//   Certificate and key should change together (rename a folder, or a link to it): in between,
//   new connections fail.
// Thread safety: pure functions. Ownership: gRPC owns what it is given. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_TLS_H_
#define EIDETIC_SERVER_IDENTITY_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/identity/identity_options.h"

namespace eidetic {

// INVALID_ARGUMENT: what is wrong with these PEM texts. `CheckKeyPair`: the first certificate is
// the key's.
absl::Status CheckKeyPair(const std::string& certificate_pem, const std::string& key_pem);
absl::Status CheckCertificates(const std::string& pem);

// Without --tls_certificate: none at all. Preconditions: the files were checked.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const IdentityOptions& options);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_TLS_H_
