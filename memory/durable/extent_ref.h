// The name of an extent: where it lies and which bytes it holds.
//
// Thread safety: plain values. Ownership: none; who keeps an extent alive says extent_store.h.
// Preconditions: none.
#ifndef EIDETIC_MEMORY_DURABLE_EXTENT_REF_H_
#define EIDETIC_MEMORY_DURABLE_EXTENT_REF_H_

#include <cstdint>

namespace eidetic::memory {

enum class ExtentKind : uint8_t { kPage = 1, kTile = 2, kState = 3, kManifest = 4 };

struct ExtentRef {
  uint64_t file = 0;
  int64_t offset = 0;  // of the header
  int64_t bytes = 0;   // of the content
  ExtentKind kind = ExtentKind::kPage;
  uint64_t checksum = 0;  // XXH3-64 of the content: a manifest binds the very bytes
  friend bool operator==(const ExtentRef&, const ExtentRef&) = default;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_EXTENT_REF_H_
