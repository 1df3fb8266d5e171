// Certificates for tests: an authority of our own and what it signs.
//
// Thread safety: thread-compatible. Ownership: owns its key. Preconditions: none.
#ifndef EIDETIC_TESTS_END_TO_END_TEST_CERTIFICATES_H_
#define EIDETIC_TESTS_END_TO_END_TEST_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace eidetic::testing {

struct PemPair {
  std::string certificate, key;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& common_name);

  // The authority's certificate.
  std::string pem() const;
  // For an hour, also good for the server 127.0.0.1. Each has its own serial number.
  PemPair Issue(const std::string& common_name);

 private:
  using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
  using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

  // Signed by ourselves; an authority's own when `ca`.
  Certificate Make(const std::string& common_name, EVP_PKEY* key, bool ca);

  long serial_ = 0;
  Key key_;
  Certificate certificate_;
};

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_TEST_CERTIFICATES_H_
