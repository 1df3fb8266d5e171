// The exact relevance of one block, computed by one warp.
//
// What: the one function of a block and a choice that all stages ask. By matrix units (kSteps of
//   16 channels), or plainly for any head_dim.
// Thread safety: whole warps call everything together. Ownership: borrows everything.
// Preconditions: with matrix units bf16, head_dim 16 kSteps, queries aligned to 8 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_CUH_

#include "engine/backend/cuda/scan_ptx.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

// 16 keys as the first operand of kSteps products: lane 4 g + t has channels 4 t to 4 t + 3 of
// each step, of rows g and g + 8. Queries have the same channels at the same lanes.
template <int kSteps>
struct KeyTile {
  uint2 rows[2][kSteps];

  __device__ void Load(const Bf16Number* keys) {
    const int32_t lane = threadIdx.x % 32;
    const Bf16Number* row = keys + lane / 4 * (16 * kSteps) + lane % 4 * 4;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      rows[0][step] = *reinterpret_cast<const uint2*>(row + 16 * step);
      rows[1][step] = *reinterpret_cast<const uint2*>(row + 8 * 16 * kSteps + 16 * step);
    }
  }
  // The largest score of this lane's rows and two columns, of which the first `valid` count.
  __device__ float Best(const uint2 (&q)[kSteps], int32_t valid) const {
    float sums[4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t keys[4] = {rows[0][step].x, rows[1][step].x, rows[0][step].y, rows[1][step].y};
      MultiplyAdd(sums, keys, q[step].x, q[step].y);
    }
    // Maxima pass over NaN.
    float best = -INFINITY;
    if (valid > 0) best = fmaxf(best, fmaxf(sums[0], sums[2]));
    if (valid > 1) best = fmaxf(best, fmaxf(sums[1], sums[3]));
    return best;
  }
};

// A column of the queries; past the end the last one, which does not count again.
template <int kSteps>
__device__ void LoadColumn(const Choice& choice, int32_t column, uint2 (&q)[kSteps]) {
  const int32_t count = choice.column_count();
  const Bf16Number* from = choice.Query<Bf16Number>(min(column, count - 1)) + threadIdx.x % 4 * 4;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    q[step] = *reinterpret_cast<const uint2*>(from + 16 * step);
  }
}

// 1. Two tiles of 16 keys in registers (a block has a multiple of 16; of an odd one the second
//    is the first again).
// 2. Eight columns at a time, the next ones on their way meanwhile.
template <int kSteps>
__device__ float ScoreBlock(const Choice& choice, int32_t block) {
  const auto* keys = choice.Keys<Bf16Number>(block);
  const int32_t size = choice.job.page.block_size, columns = choice.column_count();
  const int32_t column = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
  float best = -INFINITY;
  for (int32_t token = 0; token < size; token += 32) {
    KeyTile<kSteps> tiles[2];
    tiles[0].Load(keys + int64_t{token} * (16 * kSteps));
    tiles[1].Load(keys + int64_t{min(token + 16, size - 16)} * (16 * kSteps));
    uint2 next[kSteps];
    LoadColumn(choice, column, next);
    for (int32_t first = 0; first < columns; first += 8) {
      uint2 q[kSteps];
#pragma unroll
      for (int step = 0; step < kSteps; ++step) q[step] = next[step];
      if (first + 8 < columns) LoadColumn(choice, first + 8 + column, next);
      const int32_t valid = columns - first - pair;
      best = fmaxf(best, fmaxf(tiles[0].Best(q, valid), tiles[1].Best(q, valid)));
    }
  }
  return best;
}

// A lane a token, a chain of multiply-adds a score. Any head_dim.
template <typename T>
__device__ float ScoreBlockPlainly(const Choice& choice, int32_t block) {
  const int32_t head_dim = choice.job.page.head_dim;
  float best = -INFINITY;
  for (int32_t t = threadIdx.x % 32; t < choice.job.page.block_size; t += 32) {
    const T* key = choice.Keys<T>(block) + int64_t{t} * head_dim;
    for (int32_t column = 0; column < choice.column_count(); ++column) {
      const T* q = choice.Query<T>(column);
      float sum = 0;
      for (int32_t d = 0; d < head_dim; ++d) sum = fmaf(ToFloat(q[d]), ToFloat(key[d]), sum);
      best = fmaxf(best, sum);
    }
  }
  return best;
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_CUH_
