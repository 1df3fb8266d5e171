// Reads and writes of single numbers and of 16-byte pieces, the same for float and bf16.
//
// Thread safety: pure. Ownership: none. Preconditions: pieces are aligned to 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_NUMBERS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_NUMBERS_CUH_

#include <cuda_bf16.h>

#include <cstdint>

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

using Bf16Number = __nv_bfloat16;

__device__ inline float ToFloat(float value) { return value; }
__device__ inline float ToFloat(Bf16Number value) { return __bfloat162float(value); }

template <typename T>
__device__ T FromFloat(float value);
template <>
__device__ inline float FromFloat<float>(float value) {
  return value;
}
template <>
__device__ inline Bf16Number FromFloat<Bf16Number>(float value) {
  return __float2bfloat16_rn(value);
}

// Two bf16 numbers of a 32-bit register, the lower one first.
__device__ inline float2 UnpackBf16(uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000u)};
}
__device__ inline uint32_t PackBf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// Neighbours in memory, the first at an even place.
__device__ inline float2 LoadPair(const float* from) {
  return *reinterpret_cast<const float2*>(from);
}
__device__ inline float2 LoadPair(const Bf16Number* from) {
  return UnpackBf16(*reinterpret_cast<const uint32_t*>(from));
}
__device__ inline void StorePair(float* to, float2 pair) { *reinterpret_cast<float2*>(to) = pair; }
__device__ inline void StorePair(Bf16Number* to, float2 pair) {
  *reinterpret_cast<uint32_t*>(to) = PackBf16(pair.x, pair.y);
}

__device__ inline float Silu(float x) { return x / (1.0f + __expf(-x)); }

__device__ inline float WarpSum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}
__device__ inline float WarpMax(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, offset));
  }
  return value;
}

// Calls `work` with a null pointer to the activation type: work((float*)nullptr).
template <typename Work>
void WithActivation(Precision precision, Work work) {
  if (precision == Precision::kFloat32) {
    work(static_cast<float*>(nullptr));
  } else {
    work(static_cast<Bf16Number*>(nullptr));
  }
}

// The same with the type of a number in an SSM state.
template <typename Work>
void WithState(const Context& context, Work work) {
  WithActivation(context.bf16_state ? Precision::kBf16 : Precision::kFloat32, work);
}

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_NUMBERS_CUH_
