// The exact relevance of one block, computed by one warp.
//
// What: the one function of a block and a choice that all stages ask. By matrix units (kSteps of
//   16 channels), or plainly for any head_dim.
// Thread safety: whole warps call everything together. Ownership: borrows everything.
// Preconditions: with matrix units bf16, head_dim 16 kSteps, queries aligned to 8 bytes, pages to
//   16.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_CUH_

#include "engine/backend/cuda/scan_ptx.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

// 16 keys as the first operand of kSteps products: lane 4 g + t has channels 8 t to 8 t + 7 of each
// pair of steps, of rows g and g + 8. Queries have the same channels at the same lanes.
template <int kSteps>
struct KeyTile {
  uint4 rows[2][kSteps / 2];

  __device__ void Load(const Bf16Number* keys) {
    const int32_t lane = threadIdx.x % 32;
    const Bf16Number* row = keys + lane / 4 * (16 * kSteps) + lane % 4 * 8;
#pragma unroll
    for (int pair = 0; pair < kSteps / 2; ++pair) {
      rows[0][pair] = *reinterpret_cast<const uint4*>(row + 32 * pair);
      rows[1][pair] = *reinterpret_cast<const uint4*>(row + 8 * 16 * kSteps + 32 * pair);
    }
  }
  // The largest score of this lane's rows and two columns, of which the first `valid` count.
  __device__ float Best(const uint2 (&q)[kSteps], int32_t valid) const {
    float sums[4] = {};
#pragma unroll
    for (int pair = 0; pair < kSteps / 2; ++pair) {
      const uint4 &upper = rows[0][pair], &lower = rows[1][pair];
      const uint32_t even[4] = {upper.x, lower.x, upper.y, lower.y};
      const uint32_t odd[4] = {upper.z, lower.z, upper.w, lower.w};
      MultiplyAdd(sums, even, q[2 * pair].x, q[2 * pair].y);
      MultiplyAdd(sums, odd, q[2 * pair + 1].x, q[2 * pair + 1].y);
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
  const Bf16Number* from = choice.Query<Bf16Number>(min(column, count - 1)) + threadIdx.x % 4 * 8;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    q[step] = *reinterpret_cast<const uint2*>(from + step / 2 * 32 + step % 2 * 4);
  }
}

// 1. Two tiles of 16 keys in registers (a block has a multiple of 16; of an odd one the second
//    is the first again).
// 2. Eight columns at a time; where there may be more, the next ones on their way meanwhile.
template <int kSteps, bool kMoreColumns>
__device__ float ScoreBlock(const Choice& choice, const Bf16Number* keys) {
  const int32_t size = choice.job.page.block_size, columns = choice.column_count();
  const int32_t column = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
  float best = -INFINITY;
  for (int32_t token = 0; token < size; token += 32) {
    KeyTile<kSteps> tiles[2];
    tiles[0].Load(keys + int64_t{token} * (16 * kSteps));
    tiles[1].Load(keys + int64_t{min(token + 16, size - 16)} * (16 * kSteps));
    uint2 q[kSteps];
    LoadColumn(choice, column, q);
    if constexpr (kMoreColumns) {
      for (int32_t first = 0; first < columns; first += 8) {
        uint2 next[kSteps];
        if (first + 8 < columns) LoadColumn(choice, first + 8 + column, next);
        const int32_t valid = columns - first - pair;
        best = fmaxf(best, fmaxf(tiles[0].Best(q, valid), tiles[1].Best(q, valid)));
#pragma unroll
        for (int step = 0; step < kSteps; ++step) q[step] = next[step];
      }
    } else {
      best = fmaxf(best, fmaxf(tiles[0].Best(q, columns - pair), tiles[1].Best(q, columns - pair)));
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
