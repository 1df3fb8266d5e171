#include "engine/backend/cuda/device_arena.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"

namespace eidetic::cuda {

cudaStream_t DeviceArena::InOrder() {
  cudaSetDevice(device_);
  queue_->Flush();
  return queue_->stream();
}

absl::StatusOr<void*> DeviceArena::Allocate(size_t bytes) {
  CHECK_GT(bytes, 0u);
  absl::MutexLock lock(mutex_);
  if (bytes > limit_bytes_ - bytes_in_use_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device memory: ", bytes, " bytes wanted, ", limit_bytes_ - bytes_in_use_,
                     " of ", limit_bytes_, " left; raise --memory_bytes or end sessions"));
  }
  void* address = nullptr;
  const cudaStream_t stream = InOrder();
  cudaError_t error = cudaMallocAsync(&address, bytes, stream);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it does not stick
    return absl::ResourceExhaustedError(absl::StrCat(
        "device memory: the device has no ", bytes,
        " bytes left; lower --memory_bytes, --max_pages or --max_state_slots, or end sessions"));
  }
  if (error == cudaSuccess) error = cudaMemsetAsync(address, 0, bytes, stream);
  if (error != cudaSuccess) {
    return absl::UnavailableError(
        absl::StrCat("the device is lost: ", cudaGetErrorString(error), "; restart the server"));
  }
  bytes_in_use_ += bytes;
  return address;
}

void DeviceArena::Free(void* address, size_t bytes) {
  absl::MutexLock lock(mutex_);
  CHECK_LE(bytes, bytes_in_use_);
  bytes_in_use_ -= bytes;
  cudaFreeAsync(address, InOrder());
}

// Errors of what follows are the device's: they stay in the stream until Wait reports them.

void DeviceArena::Zero(void* address, size_t bytes) {
  absl::MutexLock lock(mutex_);
  cudaMemsetAsync(address, 0, bytes, InOrder());
}

void DeviceArena::Copy(void* to, const void* from, size_t bytes) {
  absl::MutexLock lock(mutex_);
  // Either side may be pinned memory of the host.
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, InOrder());
}

void DeviceArena::CopyFromHost(void* to, const void* from, size_t bytes) {
  absl::MutexLock lock(mutex_);
  // From pageable memory the driver has staged the bytes when the call returns.
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, InOrder());
}

void DeviceArena::CopyToHost(void* to, const void* from, size_t bytes) {
  absl::MutexLock lock(mutex_);
  const cudaStream_t stream = InOrder();
  // From the device's memory or from pinned memory of the host.
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);
  cudaStreamSynchronize(stream);
}

memory::Arena::Ticket DeviceArena::CopyBeside(std::span<const Transfer> transfers) {
  absl::MutexLock lock(mutex_);
  return side_.Start(transfers, InOrder());
}

memory::Arena::Progress DeviceArena::Poll(Ticket ticket) {
  absl::MutexLock lock(mutex_);
  MakeCurrent();
  return side_.Poll(ticket);
}

void DeviceArena::MakeCurrent() const { cudaSetDevice(device_); }

void DeviceArena::Drain() {
  absl::MutexLock lock(mutex_);
  cudaStreamSynchronize(InOrder());
}

}  // namespace eidetic::cuda
