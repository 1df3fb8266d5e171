// An Arena over pinned memory of the host, which kernels read and write in place.
//
// What: pages that left the device's memory stand here. Zero and Copy run on the device, in
//   the order of the backend's operations.
// Thread safety: thread-safe. Ownership: the caller frees what it allocates, before the arena
//   goes. Borrows the device's arena, which puts work in order.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PINNED_ARENA_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_PINNED_ARENA_H_

#include <cstddef>

#include "engine/backend/cuda/device_arena.h"
#include "memory/arena.h"

namespace eidetic::cuda {

class PinnedArena final : public memory::Arena {
 public:
  explicit PinnedArena(DeviceArena* device) : device_(device) {}

  absl::StatusOr<void*> Allocate(size_t bytes) override;
  void Free(void* address, size_t bytes) override;
  void Zero(void* address, size_t bytes) override { device_->Zero(address, bytes); }
  void Copy(void* to, const void* from, size_t bytes) override { device_->Copy(to, from, bytes); }
  void CopyFromHost(void* to, const void* from, size_t bytes) override {
    device_->CopyFromHost(to, from, bytes);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    device_->CopyToHost(to, from, bytes);
  }

 private:
  DeviceArena* const device_;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PINNED_ARENA_H_
