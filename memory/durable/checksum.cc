#include "memory/durable/checksum.h"

#include <xxhash.h>

namespace eidetic::memory {

uint64_t Checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t Checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace eidetic::memory
