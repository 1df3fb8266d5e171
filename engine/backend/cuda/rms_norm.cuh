// The arithmetic of RmsNorm, for its own kernel and for products that norm their input.
//
// What: one order of summation - thread i of 256 takes pieces i, i + 256, ... of a row, then warps
//   and then the eight warps' sums are added in order - so that both give the same bits.
// Thread safety: called by all kNormThreads threads of a block. Ownership: none.
// Preconditions: pieces of eight only where FitsPieces.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_CUH_

#include "engine/backend/cuda/pieces.cuh"
#include "engine/backend/params.h"

namespace eidetic::cuda {

inline constexpr int32_t kNormThreads = 256;
inline constexpr int32_t kNormWarps = kNormThreads / 32;

struct NormArgs {
  const void* x;        // [rows, dim], row stride x_stride; float32 when x_is_float
  const void* gate;     // [rows, dim], row stride gate_stride; or null
  const float* weight;  // [dim]
  int64_t x_stride, gate_stride;
  int32_t dim;
  float eps;
  bool x_is_float;
};

inline NormArgs ToNormArgs(const RmsNormParams& params) {
  return {.x = params.x,
          .gate = params.gate,
          .weight = params.weight,
          .x_stride = params.x_stride,
          .gate_stride = params.gate_stride,
          .dim = static_cast<int32_t>(params.dim),
          .eps = params.eps,
          .x_is_float = params.x_number == Number::kFloat32};
}

// Whether every row of every operand is made of whole, aligned pieces of eight.
inline bool FitsPieces(const RmsNormParams& params) {
  return params.dim % kPiece == 0 && params.x_stride % kPiece == 0 &&
         (params.gate == nullptr || params.gate_stride % kPiece == 0) &&
         AlignedForPieces(params.x, params.gate, params.weight, params.out);
}

// What a kernel knows of its norms at compile time: loads that no branch parts come together.
enum class NormKind : uint8_t {
  kAny,
  kFloat32,  // of a float32 x without gate: the residual stream
  kGated,    // of an x of activations with a gate
};

// x, times silu(gate) where there is one.
template <typename T, NormKind kKind, int kWidth>
__device__ inline void LoadGated(const NormArgs& norm, int64_t row, int32_t column,
                                 float (&values)[kWidth]) {
  const bool is_float = kKind == NormKind::kAny ? norm.x_is_float : kKind == NormKind::kFloat32;
  const bool gated = kKind == NormKind::kAny ? norm.gate != nullptr : kKind == NormKind::kGated;
  const int64_t at = row * norm.x_stride + column;
  if (is_float) {
    LoadPiece(static_cast<const float*>(norm.x) + at, values);
  } else {
    LoadPiece(static_cast<const T*>(norm.x) + at, values);
  }
  if (!gated) return;
  float gate[kWidth];
  LoadPiece(static_cast<const T*>(norm.gate) + row * norm.gate_stride + column, gate);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) values[i] *= SiluFor<T>(gate[i]);
}

// Fills sums, [rows][kNormWarps] in shared memory, for the `rows` <= kRows rows from first_row on;
// the caller synchronizes. The rows are walked side by side, since each alone would wait for
// memory; in place of rows that are not there the last one is read again.
template <typename T, NormKind kKind, int kWidth, int kRows>
__device__ inline void SumSquares(const NormArgs& norm, int64_t first_row, int32_t rows,
                                  float* sums) {
  float squares[kRows] = {};
#pragma unroll(kRows == 1 ? 2 : 1)
  for (int32_t column = threadIdx.x * kWidth; column < norm.dim; column += kNormThreads * kWidth) {
    float values[kRows][kWidth];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      LoadGated<T, kKind>(norm, first_row + min(r, rows - 1), column, values[r]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) squares[r] = fmaf(values[r][i], values[r][i], squares[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(squares[r]);
    if (r < rows && threadIdx.x % 32 == 0) sums[r * kNormWarps + threadIdx.x / 32] = sum;
  }
}

// 1 / rms of the row whose warp sums these are.
__device__ inline float InverseRms(const NormArgs& norm, const float* sums) {
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kNormWarps; ++warp) sum += sums[warp];
  return rsqrtf(sum / static_cast<float>(norm.dim) + norm.eps);
}

template <typename T, NormKind kKind, int kWidth>
__device__ inline void LoadNormed(const NormArgs& norm, int64_t row, int32_t column,
                                  float inverse_rms, float (&values)[kWidth]) {
  float weight[kWidth];
  LoadPiece(norm.weight + column, weight);
  LoadGated<T, kKind>(norm, row, column, values);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) values[i] = values[i] * inverse_rms * weight[i];
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_CUH_
