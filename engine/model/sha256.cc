#include "engine/model/sha256.h"

#include <glog/logging.h>

namespace eidetic {

Sha256::Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
  CHECK(context_ != nullptr);
  CHECK_EQ(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr), 1);
}

void Sha256::Add(std::span<const std::byte> bytes) {
  CHECK_EQ(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()), 1);
}

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  CHECK_EQ(EVP_DigestFinal_ex(context_.get(), digest, &bytes), 1);
  return std::string(reinterpret_cast<const char*>(digest), bytes);
}

}  // namespace eidetic
