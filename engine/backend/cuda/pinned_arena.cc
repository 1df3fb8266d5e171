#include "engine/backend/cuda/pinned_arena.h"

#include <cuda_runtime_api.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace eidetic::cuda {

absl::StatusOr<void*> PinnedArena::Allocate(size_t bytes) {
  device_->MakeCurrent();
  void* address = nullptr;
  const cudaError_t error = cudaMallocHost(&address, bytes);
  if (error != cudaSuccess) {
    cudaGetLastError();  // it does not stick
    return absl::ResourceExhaustedError(
        absl::StrCat("pinned host memory: ", bytes, " bytes are not to be had (",
                     cudaGetErrorString(error), "); lower --max_host_pages"));
  }
  std::memset(address, 0, bytes);
  return address;
}

void PinnedArena::Free(void* address, size_t bytes) {
  // What was started may still read it.
  device_->Drain();
  cudaFreeHost(address);
}

}  // namespace eidetic::cuda
