// The public keys that sign tokens: a JSON Web Key Set (RFC 7517).
//
// What: RSA keys of 2048 to 8192 bits verify RS256 and P-256 keys ES256 (RFC 7518), never another
//   algorithm: what a token's header says chooses among keys, not among algorithms. Keys of kinds
//   that are not known, or not for signatures, are passed over (RFC 7517, section 5).
// Thread safety: immutable. Ownership: owns the keys. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_JSON_WEB_KEYS_H_
#define EIDETIC_SERVER_IDENTITY_JSON_WEB_KEYS_H_

#include <openssl/evp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace eidetic {

inline constexpr size_t kMaxKeyIdBytes = 256;

class JsonWebKey {
 public:
  enum class Algorithm { kRs256, kEs256 };

  // Takes over `key`.
  JsonWebKey(Algorithm algorithm, EVP_PKEY* key) : algorithm_(algorithm), key_(key) {}

  Algorithm algorithm() const { return algorithm_; }
  // Whether `signature`, as a token carries it, is this key's over `bytes`.
  bool Verifies(std::string_view bytes, std::string_view signature) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  Algorithm algorithm_;
  std::unique_ptr<EVP_PKEY, Free> key_;
};

class JsonWebKeys {
 public:
  // INVALID_ARGUMENT naming the place; for a set without one usable key too.
  static absl::StatusOr<JsonWebKeys> Parse(std::string_view json);

  const JsonWebKey* Find(const std::string& key_id) const;  // null: there is none

 private:
  std::map<std::string, JsonWebKey> keys_;  // by kid
};

// Base64url without padding, in the one spelling that RFC 7515 allows; none for anything else.
std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_JSON_WEB_KEYS_H_
