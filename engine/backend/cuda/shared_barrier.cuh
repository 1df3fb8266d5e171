// Addresses in shared memory as instructions take them, and barriers that count threads and bytes.
//
// Thread safety: a barrier takes any threads of its block. Ownership: none.
// Preconditions: barriers stand in shared memory.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SHARED_BARRIER_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SHARED_BARRIER_CUH_

#include <cstdint>

namespace eidetic::cuda {

__device__ inline uint32_t SharedAddress(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}

// A phase ends when `arrivals` threads have arrived and all bytes expected have come.
__device__ inline void InitBarrier(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
               "r"(arrivals)
               : "memory");
}
// Of the thread that called InitBarrier, before the block's barrier.
__device__ inline void PublishBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Until the phase of this parity has ended; phases are 0, 1, 0, ..., and the one before the first
// counts as ended.
__device__ inline void WaitForPhase(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(SharedAddress(barrier)),
      "r"(parity)
      : "memory");
}

// Whether it has; does not wait.
__device__ inline bool HasPhaseEnded(uint64_t* barrier, uint32_t parity) {
  uint32_t ended;
  asm volatile(
      "{\n.reg .pred done;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n}"
      : "=r"(ended)
      : "r"(SharedAddress(barrier)), "r"(parity)
      : "memory");
  return ended != 0;
}

__device__ inline void Arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
}
__device__ inline void ArriveExpecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(bytes)
      : "memory");
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SHARED_BARRIER_CUH_
