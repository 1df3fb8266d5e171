// Pieces of a row - eight numbers where rows are aligned, else one - as floats.
//
// What: loads, stores and the gate of elementwise kernels that are written once for both widths.
// Thread safety: pure. Ownership: none.
// Preconditions: pieces of eight begin on multiples of 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PIECES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_PIECES_CUH_

#include <cstdint>
#include <type_traits>

#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {

inline constexpr int32_t kPiece = 8;  // 16 bytes of bf16

template <typename... Pointers>
bool AlignedForPieces(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

template <typename T, int kWidth>
__device__ inline void LoadPiece(const T* from, float (&to)[kWidth]) {
  if constexpr (kWidth == 1) {
    to[0] = ToFloat(*from);
  } else if constexpr (std::is_same_v<T, float>) {
    const float4 low = reinterpret_cast<const float4*>(from)[0];
    const float4 high = reinterpret_cast<const float4*>(from)[1];
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
  } else {
    const uint4 bits = *reinterpret_cast<const uint4*>(from);
    const uint32_t pairs[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = UnpackBf16(pairs[i]);
      to[2 * i] = pair.x, to[2 * i + 1] = pair.y;
    }
  }
}

template <typename T, int kWidth>
__device__ inline void StorePiece(T* to, const float (&from)[kWidth]) {
  if constexpr (kWidth == 1) {
    *to = FromFloat<T>(from[0]);
  } else if constexpr (std::is_same_v<T, float>) {
    reinterpret_cast<float4*>(to)[0] = {from[0], from[1], from[2], from[3]};
    reinterpret_cast<float4*>(to)[1] = {from[4], from[5], from[6], from[7]};
  } else {
    *reinterpret_cast<uint4*>(to) = {PackBf16(from[0], from[1]), PackBf16(from[2], from[3]),
                                     PackBf16(from[4], from[5]), PackBf16(from[6], from[7])};
  }
}

// silu(x) to T's precision. For float32 the exponential of -|x|, which never overflows (__expf
// loses bits in proportion to |x|); for bf16 the approximate units, without branches.
template <typename T>
__device__ inline float SiluFor(float x) {
  if constexpr (std::is_same_v<T, float>) {
    const float small = expf(-fabsf(x));
    return (x < 0 ? x * small : x) / (1.0f + small);
  } else {
    return __fdividef(x, 1.0f + __expf(-x));
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PIECES_CUH_
