// XXH3-64: tells bytes that were damaged from those that were written.
//
// Thread safety: a pure function. Ownership: none. Preconditions: none. It guards against
//   accidents, not against someone who computes a checksum of their own.
#ifndef EIDETIC_MEMORY_DURABLE_CHECKSUM_H_
#define EIDETIC_MEMORY_DURABLE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace eidetic::memory {

uint64_t Checksum(std::span<const std::byte> bytes);
uint64_t Checksum(std::string_view bytes);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_CHECKSUM_H_
