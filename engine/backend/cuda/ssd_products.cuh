// Products of warpgroups, which run on beside the threads.
//
// What: matrix units (m64nNk16, bf16 in, float32 out), for N = 64 and 128, and how
//   registers are shared out among warpgroups.
// Thread safety: whole warpgroups (four warps, the first a multiple of four) call what is here.
// Ownership: none. Preconditions: as each says.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_PRODUCTS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_PRODUCTS_CUH_

#include <cstdint>

#include "engine/backend/cuda/scan_ptx.cuh"

namespace eidetic::cuda {

// 128 threads of a block; `number` is 1 to 15.
__device__ inline void MeetWarpgroup(uint32_t number) {
  asm volatile("bar.sync %0, 128;" ::"r"(number) : "memory");
}

// Whole warpgroups: a thread's registers from here on, of the block's.
template <int kRegisters>
__device__ inline void FewerRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void MoreRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// D [64, N] += A [64, 16] B [16, N]. Warp w has rows 16w to 16w + 15 of D and of A, as
// the fragments of scan_ptx.cuh; d[4n] to d[4n + 3] are D's columns 8n to 8n + 7. What stands in
// shared memory has rows of 128 bytes, whose pieces of 16 bytes are exchanged: piece p of row r is
// at p ^ (r % 8).
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
template <int kPending, int kCount>
__device__ inline void WaitProducts(float (&d)[kCount]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (float& value : d) asm volatile("" : "+f"(value)::"memory");  // not read before
}
// An operand in shared memory, as the low word of what the instruction takes: where it begins in
// units of 16 bytes, to which may be added. 1,024 bytes lie between eight rows and the next eight,
// 8,192 between 64 columns and the next 64.
__device__ inline uint32_t SharedOperand(const void* pointer) {
  return uint32_t{8192 / 16} << 16 | SharedAddress(pointer) / 16;
}
// Bit 30 says how pieces are exchanged.
__device__ inline uint64_t WholeOperand(uint32_t operand) {
  return uint64_t{uint32_t{1} << 30 | 1024 / 16} << 32 | operand;
}
// A from registers; B from shared memory: [column][k], or [k][column] when kTransposed. `add`
// false: D is overwritten. N is twice d's size.
#define EIDETIC_D(d, i)                                                                       \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
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
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(WholeOperand(b)),
        "r"(static_cast<int32_t>(add)), "n"(static_cast<int32_t>(kTransposed))
      : "memory");
}
template <bool kTransposed>
__device__ inline void Product(float (&d)[64], const uint32_t (&a)[4], uint32_t b, bool add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, p, 1, 1, %70;\n}"
      : EIDETIC_D(d, 0), EIDETIC_D(d, 8), EIDETIC_D(d, 16), EIDETIC_D(d, 24), EIDETIC_D(d, 32),
        EIDETIC_D(d, 40), EIDETIC_D(d, 48), EIDETIC_D(d, 56)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(WholeOperand(b)),
        "r"(static_cast<int32_t>(add)), "n"(static_cast<int32_t>(kTransposed))
      : "memory");
}
#undef EIDETIC_D

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_PRODUCTS_CUH_
