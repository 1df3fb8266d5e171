// Copies of many bytes to shared memory by the copy engine.
//
// Thread safety: one thread asks for a copy; its barrier tells when it has come. Ownership: none.
// Preconditions: addresses and sizes are multiples of 16 bytes; barriers stand in shared memory.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_BULK_COPY_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_BULK_COPY_CUH_

#include <cstdint>

#include "engine/backend/cuda/shared_barrier.cuh"

namespace eidetic::cuda {

__device__ inline void CopyBulk(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(barrier))
      : "memory");
}
// Of what is read once: it may leave L2 at once.
__device__ inline void CopyBulkOnce(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
      "[%1], %2, [%3], %4;" ::"r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(barrier)), "l"(policy)
      : "memory");
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_BULK_COPY_CUH_
