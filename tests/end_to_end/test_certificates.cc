#include "tests/end_to_end/test_certificates.h"

#include <glog/logging.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace eidetic::testing {
namespace {

template <typename Write>
std::string ToPem(const Write& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  CHECK_EQ(write(bio), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

void Extend(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
  CHECK(extension != nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestAuthority::TestAuthority(const std::string& common_name)
    : key_(EVP_EC_gen("P-256"), EVP_PKEY_free),
      certificate_(Make(common_name, key_.get(), /*ca=*/true)) {}

TestAuthority::Certificate TestAuthority::Make(const std::string& common_name, EVP_PKEY* key,
                                               bool ca) {
  Certificate made(X509_new(), X509_free);
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial_);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key);
  X509_NAME* name = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(made.get(), ca ? name : X509_get_subject_name(certificate_.get()));
  Extend(made.get(), NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
  if (!ca) Extend(made.get(), NID_subject_alt_name, "IP:127.0.0.1");
  CHECK_GT(X509_sign(made.get(), key_.get(), EVP_sha256()), 0);
  return made;
}

std::string TestAuthority::pem() const {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

PemPair TestAuthority::Issue(const std::string& common_name) {
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Certificate certificate = Make(common_name, key.get(), /*ca=*/false);
  return {
      .certificate = ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
      .key = ToPem([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
      })};
}

}  // namespace eidetic::testing
