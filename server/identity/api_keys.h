// The operator's file of callers: API keys by their hashes, and client certificates by name.
//
//   {"keys": [{"id": "ci", "sha256": "<64 hex digits>", "tenant": "acme", "role": "user"}],
//    "certificates": [{"common_name": "gateway", "tenant": "acme", "role": "admin"}]}
//
// What: a key's text is eid_{id}_{secret}; the file holds the SHA-256 of the whole text. The
//   secret is 256 random bits, so that no slow hash is needed. `role` is user when absent.
// Thread safety: immutable. Ownership: values. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_API_KEYS_H_
#define EIDETIC_SERVER_IDENTITY_API_KEYS_H_

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/identity/caller.h"

namespace eidetic {

// What API keys begin with, and tokens do not.
inline constexpr std::string_view kApiKeyPrefix = "eid_";
inline constexpr size_t kMaxApiKeyBytes = 256;
inline constexpr size_t kMaxCommonNameBytes = 128;

class ApiKeys {
 public:
  // INVALID_ARGUMENT naming the place.
  static absl::StatusOr<ApiKeys> Parse(std::string_view json);

  // The owner of the key, compared in constant time; none for a key that is not in the file.
  std::optional<Caller> FindKey(std::string_view key) const;
  std::optional<Caller> FindCertificate(const std::string& common_name) const;
  bool has_certificates() const { return !certificates_.empty(); }

 private:
  using Sha256Bytes = std::array<unsigned char, 32>;
  struct Key {
    Sha256Bytes sha256;
    Caller caller;
  };
  std::map<std::string, Key, std::less<>> keys_;  // by id
  std::map<std::string, Caller> certificates_;    // by common name
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_API_KEYS_H_
