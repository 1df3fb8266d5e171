#include "engine/backend/cuda/scratch.h"

#include <glog/logging.h>

#include <algorithm>

namespace eidetic::cuda {

Scratch::~Scratch() { cudaFreeAsync(data_, queue_->stream()); }

void* Scratch::Take(size_t bytes) {
  if (bytes <= bytes_) return data_;
  // What was recorded reads the old buffer: it must be in the stream before the buffer goes.
  queue_->Flush();
  if (data_ != nullptr) cudaFreeAsync(data_, queue_->stream());
  bytes_ = std::max(bytes, 2 * bytes_);
  const cudaError_t error = cudaMallocAsync(&data_, bytes_, queue_->stream());
  CHECK(error == cudaSuccess) << "no device memory for an operation's scratch of " << bytes_
                              << " bytes: lower --max_batch_tokens or --memory_bytes: "
                              << cudaGetErrorString(error);
  return data_;
}

}  // namespace eidetic::cuda
