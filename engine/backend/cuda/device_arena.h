// An Arena over a device's memory, with a limit.
//
// What: stream-ordered allocations from the device's pool: as quick as a launch, and in order
//   with the operations of the backend. Copies beside them run on a stream of their own.
// Thread safety: thread-safe. Ownership: the caller frees what it allocates, before the arena
//   goes. Borrows queue and lock, which guards the queue.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_ARENA_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_ARENA_H_

#include <cstddef>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/backend/cuda/launch_queue.h"
#include "engine/backend/cuda/side_copies.h"
#include "memory/arena.h"

namespace eidetic::cuda {

class DeviceArena final : public memory::Arena {
 public:
  DeviceArena(int device, size_t limit_bytes, LaunchQueue* queue, absl::Mutex* mutex)
      : device_(device), limit_bytes_(limit_bytes), queue_(queue), mutex_(mutex) {}

  absl::StatusOr<void*> Allocate(size_t bytes) override;
  void Free(void* address, size_t bytes) override;
  void Zero(void* address, size_t bytes) override;
  void Copy(void* to, const void* from, size_t bytes) override;
  void CopyFromHost(void* to, const void* from, size_t bytes) override;
  void CopyToHost(void* to, const void* from, size_t bytes) override;

  Ticket CopyBeside(std::span<const Transfer> transfers) override;
  Progress Poll(Ticket ticket) override;

  void MakeCurrent() const;  // the device, on the calling thread
  void Drain();              // waits until all that was started has finished

 private:
  // Makes the device current and puts what was recorded before into the stream.
  cudaStream_t InOrder() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int device_;
  const size_t limit_bytes_;
  LaunchQueue* const queue_;
  absl::Mutex* const mutex_;
  size_t bytes_in_use_ ABSL_GUARDED_BY(mutex_) = 0;
  SideCopies side_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_ARENA_H_
