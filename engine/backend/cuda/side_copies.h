// Copies on a stream of their own, beside what the device computes.
//
// What: batches of copies; each waits for what the main stream had been given when it was
//   started, and the main stream waits for none.
// Thread safety: none; the arena's lock guards it. Ownership: owns stream and events.
// Preconditions: the device is current. Memory outlives the copies of it: who started them asks
//   for them until they have ended.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SIDE_COPIES_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SIDE_COPIES_H_

#include <cuda_runtime_api.h>

#include <map>
#include <span>

#include "memory/arena.h"

namespace eidetic::cuda {

class SideCopies {
 public:
  SideCopies() = default;
  ~SideCopies();
  SideCopies(const SideCopies&) = delete;
  SideCopies& operator=(const SideCopies&) = delete;

  // As Arena::CopyBeside and Arena::Poll.
  memory::Arena::Ticket Start(std::span<const memory::Arena::Transfer> transfers,
                              cudaStream_t main);
  memory::Arena::Progress Poll(memory::Arena::Ticket ticket);

 private:
  struct Batch {
    cudaEvent_t ended = nullptr;
    cudaError_t error = cudaSuccess;  // the first of starting it
  };
  // Makes stream and event, the first time.
  cudaError_t Open();
  // After all that `main` was given.
  cudaError_t WaitFor(cudaStream_t main);

  cudaStream_t stream_ = nullptr;
  cudaEvent_t main_ = nullptr;  // recorded in the main stream
  std::map<memory::Arena::Ticket, Batch> running_;
  memory::Arena::Ticket last_ = 0;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SIDE_COPIES_H_
