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

__device__ inline uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
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

// Barriers in shared memory: a phase ends when `count` threads have arrived, and the next begins.
__device__ inline void InitBarrier(uint64_t* barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(count)
               : "memory");
}
__device__ inline void ArriveAt(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
}
// Until phase n has ended; `parity` is n % 2. The phase before it must have ended.
__device__ inline void WaitFor(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n"
        "selp.b32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(SharedAddress(barrier)), "r"(parity)
        : "memory");
  }
}
// Whole warps, 128 threads of a block; `number` is 1 to 15.
__device__ inline void MeetWarpgroup(uint32_t number) {
  asm volatile("bar.sync %0, 128;" ::"r"(number) : "memory");
}

// Products of warpgroups (four warps, the first a multiple of four), which run on beside the
// threads: D [64, 64] += A [64, 16] B [16, 64]. Warp w has rows 16w to 16w + 15 of D and of A, as
// the fragments above; d[4n] to d[4n + 3] are D's columns 8n to 8n + 7. What stands in shared
// memory has rows of 128 bytes, whose pieces of 16 bytes are exchanged: piece p of row r is at p ^
// (r % 8).
//   BeginProducts, products, EndProducts: a batch. Their registers are left alone until
//   WaitProducts. Threads that wrote to shared memory what a product reads: ShowToProducts.
__device__ inline void ShowToProducts() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void BeginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void EndProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until at most `kPending` of the newest batches are under way; d belongs to an older one.
template <int kPending>
__device__ inline void WaitProducts(float (&d)[32]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (float& value : d) asm volatile("" : "+f"(value)::"memory");  // not read before
}
// 1,024 bytes lie between eight rows and the next eight; bit 62 says how pieces are exchanged.
__device__ inline uint64_t SharedMatrix(uint32_t shared) {
  return uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{1024 / 16} << 16 | shared / 16;
}
#define EIDETIC_D(d, i)                                                                       \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
// A [row][k] and B [column][k] from shared memory; `add` false: D is overwritten.
__device__ inline void Product(float (&d)[32], uint32_t a, uint32_t b, bool add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1, 0, 0;\n}"
      : EIDETIC_D(d, 0), EIDETIC_D(d, 8), EIDETIC_D(d, 16), EIDETIC_D(d, 24)
      : "l"(SharedMatrix(a)), "l"(SharedMatrix(b)), "r"(static_cast<int32_t>(add))
      : "memory");
}
// A from registers; B from shared memory: [column][k], or [k][column] when kTransposed.
template <bool kTransposed>
__device__ inline void Product(float (&d)[32], const uint32_t (&a)[4], uint32_t b, bool add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, p, 1, 1, %38;\n}"
      : EIDETIC_D(d, 0), EIDETIC_D(d, 8), EIDETIC_D(d, 16), EIDETIC_D(d, 24)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(SharedMatrix(b)),
        "r"(static_cast<int32_t>(add)), "n"(static_cast<int32_t>(kTransposed))
      : "memory");
}
#undef EIDETIC_D

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SCAN_PTX_CUH_
