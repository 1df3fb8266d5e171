// How a block's keys and values lie in a page on the device.
//
// What: for each KV head keys [block_size][head_dim] before RoPE, all heads' keys first, then
//   values [block_size][head_dim] likewise; T is float or bf16. Token-major: a token's key
//   is one contiguous piece, which the matrix units take as it is.
// Thread safety: pure. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_PAGE_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_PAGE_CUH_

#include <cstdint>

#include "memory/page_layout.h"

namespace eidetic::cuda {

struct DevicePage {
  int32_t block_size, kv_heads, head_dim;

  explicit DevicePage(const memory::PageLayout& layout)
      : block_size(layout.block_size), kv_heads(layout.kv_heads), head_dim(layout.head_dim) {}

  // [block_size][head_dim]
  template <typename T>
  __device__ T* Keys(void* page, int32_t kv_head) const {
    return static_cast<T*>(page) + int64_t{kv_head} * block_size * head_dim;
  }
  template <typename T>
  __device__ T* Values(void* page, int32_t kv_head) const {
    return static_cast<T*>(page) + (int64_t{kv_heads} + kv_head) * block_size * head_dim;
  }
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_PAGE_CUH_
