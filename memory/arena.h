// The small interface through which memory/ gets its storage.
//
// What: raw bytes on one device or the host. The backends implement it; memory
//   never learns which.
// Thread safety: implementations are thread-safe. Ownership: the caller frees
//   what it allocates, before the arena goes. Preconditions: as stated.
#ifndef EIDETIC_MEMORY_ARENA_H_
#define EIDETIC_MEMORY_ARENA_H_

#include <cstddef>

#include "absl/status/statusor.h"

namespace eidetic::memory {

class Arena {
 public:
  virtual ~Arena() = default;

  // `bytes` > 0 zeroed bytes, aligned to 64. RESOURCE_EXHAUSTED when there are none.
  virtual absl::StatusOr<void*> Allocate(size_t bytes) = 0;
  // Gives back what Allocate returned, with the same `bytes`.
  virtual void Free(void* address, size_t bytes) = 0;
  virtual void Zero(void* address, size_t bytes) = 0;
  // Copies within the arena; the ranges do not overlap.
  virtual void Copy(void* to, const void* from, size_t bytes) = 0;
  // Copies from host memory, which may be used again at once.
  virtual void CopyFromHost(void* to, const void* from, size_t bytes) = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_ARENA_H_
