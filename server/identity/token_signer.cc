#include "server/identity/token_signer.h"

#include <glog/logging.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "absl/strings/escaping.h"

namespace eidetic::testing {
namespace {

using nlohmann::json;

constexpr int kP256Bytes = 32;

// The key's parameter as `size` bytes, big-endian; size 0: as many as it takes.
std::string Parameter(const EVP_PKEY* key, const char* name, int size) {
  BIGNUM* number = nullptr;
  CHECK_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1) << name;
  std::string bytes(static_cast<size_t>(size == 0 ? BN_num_bytes(number) : size), '\0');
  const auto length = static_cast<int>(bytes.size());
  CHECK_EQ(BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), length), length);
  BN_free(number);
  return bytes;
}

// DER to r and s side by side.
std::string ToRaw(const std::string& der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* parts = d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(der.size()));
  CHECK(parts != nullptr);
  std::string raw(2 * kP256Bytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(parts), out, kP256Bytes);
  BN_bn2binpad(ECDSA_SIG_get0_s(parts), out + kP256Bytes, kP256Bytes);
  ECDSA_SIG_free(parts);
  return raw;
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  return absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
}

TokenSigner TokenSigner::Rsa(const std::string& key_id, int bits) {
  EVP_PKEY* key = EVP_RSA_gen(static_cast<unsigned>(bits));
  CHECK(key != nullptr);
  return TokenSigner(true, key_id, key);
}

TokenSigner TokenSigner::P256(const std::string& key_id) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  CHECK(key != nullptr);
  return TokenSigner(false, key_id, key);
}

json TokenSigner::Jwk() const {
  const EVP_PKEY* key = key_.get();
  if (rsa_) {
    return {{"kty", "RSA"},
            {"kid", key_id_},
            {"use", "sig"},
            {"alg", "RS256"},
            {"n", Base64Url(Parameter(key, OSSL_PKEY_PARAM_RSA_N, 0))},
            {"e", Base64Url(Parameter(key, OSSL_PKEY_PARAM_RSA_E, 0))}};
  }
  return {{"kty", "EC"},
          {"kid", key_id_},
          {"crv", "P-256"},
          {"x", Base64Url(Parameter(key, OSSL_PKEY_PARAM_EC_PUB_X, kP256Bytes))},
          {"y", Base64Url(Parameter(key, OSSL_PKEY_PARAM_EC_PUB_Y, kP256Bytes))}};
}

std::string TokenSigner::PublicPem() const {
  BIO* bio = BIO_new(BIO_s_mem());
  CHECK_EQ(PEM_write_bio_PUBKEY(bio, key_.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string TokenSigner::Sign(const json& claims) const {
  return Sign({{"alg", algorithm()}, {"typ", "JWT"}, {"kid", key_id_}}, claims);
}

std::string TokenSigner::Sign(const json& header, const json& claims) const {
  const std::string bytes = Base64Url(header.dump()) + "." + Base64Url(claims.dump());
  const auto* in = reinterpret_cast<const unsigned char*>(bytes.data());
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  CHECK_EQ(EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_.get()), 1);
  size_t size = 0;
  CHECK_EQ(EVP_DigestSign(context, nullptr, &size, in, bytes.size()), 1);
  std::string signature(size, '\0');
  auto* out = reinterpret_cast<unsigned char*>(signature.data());
  CHECK_EQ(EVP_DigestSign(context, out, &size, in, bytes.size()), 1);
  signature.resize(size);
  EVP_MD_CTX_free(context);
  return bytes + "." + Base64Url(rsa_ ? signature : ToRaw(signature));
}

std::string KeySet(std::initializer_list<const TokenSigner*> signers) {
  json set = {{"keys", json::array()}};
  for (const TokenSigner* signer : signers) set["keys"].push_back(signer->Jwk());
  return set.dump();
}

}  // namespace eidetic::testing
