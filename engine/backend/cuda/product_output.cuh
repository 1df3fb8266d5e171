// What becomes of a product's sums.
//
// What: bias, multiplier, number type and accumulation of MatMulParams, for all products.
// Thread safety: one writer a number. Ownership: none.
// Preconditions: out is float32 when accumulate.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PRODUCT_OUTPUT_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_PRODUCT_OUTPUT_CUH_

#include <cstdint>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/params.h"

namespace eidetic::cuda {

struct ProductOutput {
  void* out;          // [rows, outputs], float32 when is_float, else T
  const float* bias;  // [outputs] or null
  int64_t outputs;
  float multiplier;
  bool is_float, accumulate;

  template <typename T>
  __device__ void Store(int64_t row, int64_t output, float value) const {
    const int64_t at = row * outputs + output;
    if (accumulate) {
      // Nobody else adds: the cache does the addition, so that no thread waits for the old value.
      atomicAdd(static_cast<float*>(out) + at, value);
    } else if (is_float) {
      static_cast<float*>(out)[at] = value;
    } else {
      static_cast<T*>(out)[at] = FromFloat<T>(value);
    }
  }
  template <typename T>
  __device__ void StoreSum(int64_t row, int64_t output, float sum) const {
    Store<T>(row, output, multiplier * (sum + (bias == nullptr ? 0.0f : bias[output])));
  }
};

// Of a product that writes `outputs` numbers a row.
inline ProductOutput ToProductOutput(const MatMulParams& params, int64_t outputs) {
  return {.out = params.out,
          .bias = params.bias,
          .outputs = outputs,
          .multiplier = params.multiplier,
          .is_float = params.out_number == Number::kFloat32,
          .accumulate = params.accumulate};
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PRODUCT_OUTPUT_CUH_
