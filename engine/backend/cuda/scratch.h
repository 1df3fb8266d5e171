// Device memory for the operation under way.
//
// What: one buffer that grows and is handed out anew to each operation; operations run in
//   stream order, so the next one may overwrite what the last one left.
// Thread safety: none. Ownership: owns the buffer; borrows the queue.
// Preconditions: one Take an operation; its parts are cut by the operation itself.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SCRATCH_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SCRATCH_H_

#include <cstddef>

#include "engine/backend/cuda/launch_queue.h"

namespace eidetic::cuda {

class Scratch {
 public:
  explicit Scratch(LaunchQueue* queue) : queue_(queue) {}
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // At least `bytes`, aligned to 256, holding anything. The address is the same from step to
  // step unless a larger one was asked for in between.
  void* Take(size_t bytes);

 private:
  LaunchQueue* queue_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// `bytes` rounded up so that a next part of a scratch stays aligned.
constexpr size_t AlignedPart(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SCRATCH_H_
