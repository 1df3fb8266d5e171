// The warp's matrix instructions, a 16-byte copy to shared memory, and turns by an angle.
//
// Thread safety: whole warps call the matrix functions together. Ownership: none.
// Preconditions: shared addresses are aligned to 16 bytes.
//
// In a product of 16x16 by 16x8, lane = 4 g + t holds
//   A: a0 (g, 2t..), a1 (g + 8, 2t..), a2 (g, 2t + 8..), a3 (g + 8, 2t + 8..), two columns each
//   B: b0 (2t.., g), b1 (2t + 8.., g), two rows each
//   C: c0, c1 (g, 2t), (g, 2t + 1); c2, c3 the same of row g + 8
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_WARP_MATRIX_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_WARP_MATRIX_CUH_

#include <cstdint>

namespace eidetic::cuda {

__device__ inline void Multiply16x8x16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                       uint32_t a3, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// An 8x8 matrix of which lane 4 g + t holds (g, 2t), (g, 2t + 1), turned over.
__device__ inline uint32_t Transpose8x8(uint32_t pair) {
  uint32_t out;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(out) : "r"(pair));
  return out;
}

// Four 8x8 matrices; lane l gives the address of row l % 8 of matrix l / 8.
template <bool kTransposed>
__device__ inline void LoadMatrices(uint32_t (&out)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  }
}

// 16 bytes to shared memory, in the background; zeros where `from` is null.
__device__ inline void CopyAsync16(void* to, const void* from) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if (from == nullptr) {
    *static_cast<uint4*>(to) = {0, 0, 0, 0};
  } else {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
  }
}
__device__ inline void WaitForCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// 2^x, to about 2 ulp; denormals to 0.
__device__ inline float Exp2(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

// Four numbers of a lane's K or Q: channels (c, c + 1) and their partners.
struct PairOfTwo {
  float2 low, high;
};
// Turned by two angles, (cos, sin, cos, sin).
__device__ inline PairOfTwo Turned(const PairOfTwo& x, const float4& turn) {
  return {{x.low.x * turn.x - x.high.x * turn.y, x.low.y * turn.z - x.high.y * turn.w},
          {x.high.x * turn.x + x.low.x * turn.y, x.high.y * turn.z + x.low.y * turn.w}};
}
// One turn after the other.
__device__ inline float4 Compose(const float4& a, const float4& b) {
  return {a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x, a.z * b.z - a.w * b.w,
          a.z * b.w + a.w * b.z};
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_WARP_MATRIX_CUH_
