// Makes keys, key sets and tokens for tests, by OpenSSL's other side: signing.
//
// Thread safety: thread-compatible. Ownership: owns its key. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_TOKEN_SIGNER_H_
#define EIDETIC_SERVER_IDENTITY_TOKEN_SIGNER_H_

#include <openssl/evp.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace eidetic::testing {

// RFC 7515's base64url.
std::string Base64Url(std::string_view bytes);

class TokenSigner {
 public:
  static TokenSigner Rsa(const std::string& key_id, int bits = 2048);
  static TokenSigner P256(const std::string& key_id);

  // The public key as a JWK.
  nlohmann::json Jwk() const;
  std::string PublicPem() const;
  // A token of these claims under {"alg", "kid"}, signed.
  std::string Sign(const nlohmann::json& claims) const;
  std::string Sign(const nlohmann::json& header, const nlohmann::json& claims) const;
  const char* algorithm() const { return rsa_ ? "RS256" : "ES256"; }

 private:
  TokenSigner(bool rsa, const std::string& key_id, EVP_PKEY* key)
      : rsa_(rsa), key_id_(key_id), key_(key, EVP_PKEY_free) {}

  bool rsa_;
  std::string key_id_;
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
};

// {"keys": [...]} of these signers.
std::string KeySet(std::initializer_list<const TokenSigner*> signers);

}  // namespace eidetic::testing

#endif  // EIDETIC_SERVER_IDENTITY_TOKEN_SIGNER_H_
