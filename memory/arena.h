// The small interface through which memory/ gets its storage.
//
// What: raw bytes on one device or the host. The backends implement it; memory
//   never learns which.
// Thread safety: implementations are thread-safe. Ownership: the caller frees
//   what it allocates, before the arena goes. Preconditions: as stated.
#ifndef EIDETIC_MEMORY_ARENA_H_
#define EIDETIC_MEMORY_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <span>

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
  // Copies to host memory what everything started before has left there; waits for it.
  virtual void CopyToHost(void* to, const void* from, size_t bytes) = 0;

  struct Transfer {
    void* to = nullptr;
    const void* from = nullptr;  // in this arena, or in pinned memory of the host
    size_t bytes = 0;
  };
  using Ticket = int64_t;
  enum class Progress : uint8_t { kRunning, kDone, kFailed };
  // Starts copies that come after all that was started before, and run beside what is started
  // later where the arena can do that. Nothing else touches either side until Poll says that
  // they have ended. The spans may go at once.
  virtual Ticket CopyBeside(std::span<const Transfer> transfers) {
    for (const Transfer& t : transfers) Copy(t.to, t.from, t.bytes);
    return 0;
  }
  // kDone: what is started from now on finds the bytes. A ticket is asked for until it has
  // ended, and not again.
  virtual Progress Poll(Ticket ticket) { return Progress::kDone; }
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_ARENA_H_
