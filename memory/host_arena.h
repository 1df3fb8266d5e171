// An Arena over the host's memory, with a limit.
//
// What: anonymous pages from the kernel, zero until they are touched.
// Thread safety: thread-safe. Ownership: the caller frees what it allocates,
//   before the arena goes (CHECKed). Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_HOST_ARENA_H_
#define EIDETIC_MEMORY_HOST_ARENA_H_

#include <atomic>
#include <cstddef>

#include "absl/status/statusor.h"
#include "memory/arena.h"

namespace eidetic::memory {

class HostArena : public Arena {
 public:
  explicit HostArena(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  ~HostArena() override;
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  // RESOURCE_EXHAUSTED past the limit, and when the kernel refuses.
  absl::StatusOr<void*> Allocate(size_t bytes) override;
  void Free(void* address, size_t bytes) override;
  void Zero(void* address, size_t bytes) override;
  void Copy(void* to, const void* from, size_t bytes) override;
  void CopyFromHost(void* to, const void* from, size_t bytes) override { Copy(to, from, bytes); }
  void CopyToHost(void* to, const void* from, size_t bytes) override { Copy(to, from, bytes); }

  size_t limit_bytes() const { return limit_bytes_; }
  size_t bytes_in_use() const { return bytes_in_use_.load(); }

 private:
  bool Charge(size_t bytes);

  const size_t limit_bytes_;
  std::atomic<size_t> bytes_in_use_{0};
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_HOST_ARENA_H_
