// The instructions that the convolution and the scans use and C++ has no name for.
//
// What: matrix units (m16n8k16, bf16 in, float32 out), their loads, asynchronous copies,
//   prefetches and approximate functions.
// Thread safety: whole warps call what is marked so. Ownership: none.
// Preconditions: shared addresses are of 16-byte pieces.
//
// Fragments, with g = lane / 4 and t = lane % 4 (a register holds two numbers, the lower first):
//   A [16, 16]: rows g, g + 8, g, g + 8; columns 2t, 2t, 2t + 8, 2t + 8 (and the next ones)
//   B [16, 8]:  column g; rows 2t, 2t + 8 (and the next ones)
//   C [16, 8]:  c[0], c[1]: row g, columns 2t, 2t + 1; c[2], c[3]: row g + 8
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SCAN_PTX_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SCAN_PTX_CUH_

#include <cstdint>

#include "engine/backend/cuda/shared_barrier.cuh"

namespace eidetic::cuda {

__device__ inline float ApproximateExp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ inline float ApproximateLog2(float x) {
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ inline float ApproximateReciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// This thread's lane, read anew: what is computed from it is not kept in registers over a loop.
__device__ inline uint32_t LaneAnew() {
  uint32_t lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

// A hint, without an effect on what is read later: always safe.
__device__ inline void PrefetchToL2(const void* global) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}

// 16 bytes to shared memory, or zeros when `valid` is false (then nothing is read).
__device__ inline void CopyPieceAsync(uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `kPending` of the newest groups are under way.
template <int kPending>
__device__ inline void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Whole warp. Four 8 x 8 matrices; lanes 8m to 8m + 7 give the addresses of matrix m's rows.
// Register m: row g, columns 2t and 2t + 1 of matrix m; transposed: rows 2t and 2t + 1, column g.
__device__ inline void LoadMatrices(uint32_t (&to)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared)
               : "memory");
}
__device__ inline void LoadTransposed(uint32_t (&to)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared)
               : "memory");
}

// Whole warp. c += a b.
__device__ inline void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                   uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Whole warp. The opposite: register m goes to matrix m, as LoadMatrices and LoadTransposed name
// it.
__device__ inline void StoreMatrices(uint32_t shared, const uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared),
               "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}
__device__ inline void StoreTransposed(uint32_t shared, const uint32_t (&from)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared),
      "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
      : "memory");
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SCAN_PTX_CUH_
