#include "engine/backend/cuda/side_copies.h"

#include <glog/logging.h>

namespace eidetic::cuda {

using memory::Arena;

SideCopies::~SideCopies() {
  for (const auto& [ticket, batch] : running_) cudaEventDestroy(batch.ended);
  if (main_ != nullptr) cudaEventDestroy(main_);
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

cudaError_t SideCopies::Open() {
  if (stream_ == nullptr) {
    const cudaError_t error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    if (error != cudaSuccess) return error;
  }
  if (main_ != nullptr) return cudaSuccess;
  return cudaEventCreateWithFlags(&main_, cudaEventDisableTiming);
}

cudaError_t SideCopies::WaitFor(cudaStream_t main) {
  const cudaError_t error = cudaEventRecord(main_, main);
  return error != cudaSuccess ? error : cudaStreamWaitEvent(stream_, main_, 0);
}

Arena::Ticket SideCopies::Start(std::span<const Arena::Transfer> transfers, cudaStream_t main) {
  Batch& batch = running_[++last_];
  batch.error = Open();
  if (batch.error == cudaSuccess) {
    batch.error = cudaEventCreateWithFlags(&batch.ended, cudaEventDisableTiming);
  }
  if (batch.error == cudaSuccess) batch.error = WaitFor(main);
  for (const Arena::Transfer& t : transfers) {
    if (batch.error != cudaSuccess) break;
    batch.error = cudaMemcpyAsync(t.to, t.from, t.bytes, cudaMemcpyDefault, stream_);
  }
  // Also after an error: copies that were started before it still run.
  if (batch.ended != nullptr) {
    const cudaError_t error = cudaEventRecord(batch.ended, stream_);
    if (batch.error == cudaSuccess) batch.error = error;
  }
  return last_;
}

Arena::Progress SideCopies::Poll(Arena::Ticket ticket) {
  const auto found = running_.find(ticket);
  CHECK(found != running_.end()) << "no copy has ticket " << ticket;
  Batch& batch = found->second;
  if (batch.ended != nullptr) {
    const cudaError_t error = cudaEventQuery(batch.ended);
    if (error == cudaErrorNotReady) return Arena::Progress::kRunning;
    if (batch.error == cudaSuccess) batch.error = error;
    cudaEventDestroy(batch.ended);
  }
  if (batch.error != cudaSuccess) {
    cudaGetLastError();  // what sticks is told by the main stream
    LOG(WARNING) << "pages stay in host memory, their copy failed: "
                 << cudaGetErrorString(batch.error);
  }
  const bool good = batch.error == cudaSuccess;
  running_.erase(found);
  return good ? Arena::Progress::kDone : Arena::Progress::kFailed;
}

}  // namespace eidetic::cuda
