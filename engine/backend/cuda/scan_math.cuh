// Arithmetic that every form of the convolution and of the scan shares.
//
// What: one place for each formula, so that a row's result is bitwise the same whichever
//   kernel computes it.
// Thread safety: pure. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SCAN_MATH_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SCAN_MATH_CUH_

#include <type_traits>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/scan_ptx.cuh"

namespace eidetic::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;

// What the convolution gives for a finished sum. Prefill is bound by SiLU's instructions as much
// as by memory: for bf16 the two approximate units (2^-22) do, without the exact division.
template <typename T>
__device__ inline T ConvOutput(float sum, bool silu) {
  if (!silu) return FromFloat<T>(sum);
  if constexpr (std::is_same_v<T, float>) {
    return Silu(sum);
  } else {
    return FromFloat<T>(sum * ApproximateReciprocal(1.0f + ApproximateExp2(-kLog2E * sum)));
  }
}

// dt' = clamp(softplus(raw + bias)); softplus as PyTorch has it, linear above 20.
__device__ inline float StepSize(float raw, float bias, float dt_min, float dt_max) {
  const float x = raw + bias;
  const float softplus = x > 20.0f ? x : log1pf(expf(x));
  return fminf(fmaxf(softplus, dt_min), dt_max);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SCAN_MATH_CUH_
