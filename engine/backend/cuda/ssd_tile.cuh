// Tiles of a chunk in shared memory, and the decays within it.
//
// What: panels of 64 rows, swizzled; cumulative decays of a head over a chunk.
// Thread safety: as each function says. Ownership: none.
// Preconditions: rows in device memory are aligned to 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_

#include <cstdint>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/scan_math.cuh"
#include "engine/backend/cuda/scan_ptx.cuh"

namespace eidetic::cuda {

// Tokens of a chunk: the rows that one product of a warpgroup has.
inline constexpr uint32_t kChunk = 64;

// 64 rows of 8 pieces (8 bf16 numbers each), as the matrix units read them: piece p of row r
// stands at p ^ (r % 8), so the eight rows of one 8 x 8 matrix lie in different banks. Wider
// matrices are several panels.
struct alignas(1024) SsdPanel {
  static constexpr uint32_t kPieces = 8;
  uint4 pieces[kChunk * kPieces];

  __device__ static uint32_t At(uint32_t row, uint32_t piece) {
    return row * kPieces + (piece ^ (row % 8));
  }
};
// Panels side by side as an operand: from one panel to the next, and where columns 16k to 16k + 15
// or rows 16k to 16k + 15 begin.
inline constexpr uint32_t kPanelOperand = sizeof(SsdPanel) / 16;
__device__ inline uint32_t Columns(uint32_t operand, uint32_t k) {
  return operand + k / 4 * kPanelOperand + k % 4 * 2;
}
__device__ inline uint32_t Rows(uint32_t operand, uint32_t k) { return operand + k * 128; }

// Two numbers as two bf16 numbers each, whose sums they are to 2^-17.
__device__ inline uint2 Split(float2 values) {
  const uint32_t high = PackBf16(values.x, values.y);
  const float2 rounded = UnpackBf16(high);
  return {high, PackBf16(values.x - rounded.x, values.y - rounded.y)};
}
// Two bf16 numbers, times two split ones; rounded once, as from float32, in fewer instructions.
__device__ inline uint32_t Scaled(uint32_t pair, uint2 by) {
  const auto numbers = [](const uint32_t& pair) {
    return *reinterpret_cast<const __nv_bfloat162*>(&pair);
  };
  const __nv_bfloat162 result =
      __hfma2(numbers(pair), numbers(by.x), __hmul2(numbers(pair), numbers(by.y)));
  return *reinterpret_cast<const uint32_t*>(&result);
}

// Of one head over one chunk. With s_i the sum of -exp(a_log) dt'_k over tokens k <= i:
// Aligned: pairs of floats are stored at once, and tables of several heads lie in a row.
struct alignas(16) DecayTable {
  float sum[kChunk];         // s_i * log2(e)
  float source[kChunk];      // s_i * log2(e) - log2(dt'_i); infinite beyond the sequence's end
  float from_begin[kChunk];  // exp(s_i)
  uint2 to_end[kChunk / 2];  // dt'_i exp(s_63 - s_i) of two tokens: see Split
  float whole;               // exp(s_63)
};

// One warp; lane l has tokens 2l and 2l + 1. Beyond the end dt' is 0: sums stay, nothing is added.
// `rate` is -exp(a_log) log2(e).
__device__ inline void FillDecays(DecayTable* table, float2 dt, float rate) {
  const uint32_t lane = LaneAnew();
  const float2 step = {rate * dt.x, rate * dt.y};
  float sum = step.x + step.y;  // becomes that of lanes 0 to this one
#pragma unroll
  for (uint32_t offset = 1; offset < 32; offset *= 2) {
    const float lower = __shfl_up_sync(~0u, sum, offset);
    if (lane >= offset) sum += lower;
  }
  float before = __shfl_up_sync(~0u, sum, 1);
  if (lane == 0) before = 0.0f;
  const float first = before + step.x;
  const float end = __shfl_sync(~0u, sum, 31);
  const uint32_t i = 2 * lane;
  *reinterpret_cast<float2*>(table->sum + i) = {first, sum};
  *reinterpret_cast<float2*>(table->source + i) = {first - ApproximateLog2(dt.x),
                                                   sum - ApproximateLog2(dt.y)};
  *reinterpret_cast<float2*>(table->from_begin + i) = {ApproximateExp2(first),
                                                       ApproximateExp2(sum)};
  table->to_end[lane] =
      Split({dt.x * ApproximateExp2(end - first), dt.y * ApproximateExp2(end - sum)});
  if (lane == 0) table->whole = ApproximateExp2(end);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_
