// SHA-256 of bytes that come in pieces.
//
// Thread safety: none. Ownership: owns its context. Preconditions: nothing after Finish.
#ifndef EIDETIC_ENGINE_MODEL_SHA256_H_
#define EIDETIC_ENGINE_MODEL_SHA256_H_

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace eidetic {

class Sha256 {
 public:
  Sha256();
  void Add(std::span<const std::byte> bytes);
  // The 32 bytes of the digest.
  std::string Finish();

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_SHA256_H_
