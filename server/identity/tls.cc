#include "server/identity/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace eidetic {
namespace {

constexpr unsigned kRefreshSeconds = 1;

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
using Certificate = std::unique_ptr<X509, FreeX509>;

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Otherwise a key with a password would ask for it on the terminal.
int NoPassword(char*, int, int, void*) { return 0; }

Certificate FirstCertificate(const std::string& pem) {
  Certificate certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  return certificate;
}

}  // namespace

absl::Status CheckCertificates(const std::string& pem) {
  if (FirstCertificate(pem) != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError("holds no certificate in PEM");
}

absl::Status CheckKeyPair(const std::string& certificate_pem, const std::string& key_pem) {
  const Certificate certificate = FirstCertificate(certificate_pem);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError("--tls_certificate holds no certificate in PEM");
  }
  const std::unique_ptr<EVP_PKEY, FreeKey> key(
      PEM_read_bio_PrivateKey(Reader(key_pem).get(), nullptr, NoPassword, nullptr));
  const bool match = key != nullptr && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError("--tls_key holds no private key in PEM without a password");
  }
  if (match) return absl::OkStatus();
  return absl::InvalidArgumentError("--tls_certificate and --tls_key are not of one pair");
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const IdentityOptions& options) {
  if (options.tls_certificate.empty()) return grpc::InsecureServerCredentials();
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions credentials(
      std::make_shared<tls::FileWatcherCertificateProvider>(
          options.tls_key, options.tls_certificate, options.tls_client_ca, kRefreshSeconds));
  credentials.watch_identity_key_cert_pairs();
  if (!options.tls_client_ca.empty()) {
    credentials.watch_root_certs();
    credentials.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(credentials);
}

}  // namespace eidetic
