// One row of logits, cut among the blocks of a cluster: its best token and its softmax's sum.
//
// What: block b of 8 holds the ids [b * slice, (b + 1) * slice), slice a multiple of 4. For a
//   vocabulary of 17 the slice is 4: blocks 0 to 3 hold 4 ids each, block 4 one, the rest none.
// Thread safety: device code of a whole block. Ownership: borrows everything.
// Preconditions: as ClusterMerge.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_ROW_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_ROW_CUH_

#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>

#include "engine/backend/cuda/cluster_merge.cuh"

namespace eidetic::cuda {

// What a block holds of a row.
struct RowSlice {
  float* values = nullptr;       // [count] clean, later adjusted logits, 16-aligned; or null
  int32_t begin = 0, count = 0;  // ids
};

// The best token (lower id among equals) and sum of exp(logit - maximum).
struct RowStats {
  float maximum = -INFINITY;
  int32_t id = INT_MAX;  // stays so when all logits are minus infinity
  float sum = 0;

  __device__ void Merge(const RowStats& other) {
    // Equal maxima (also both minus infinity) must not become exp(NaN).
    const bool equal = maximum == other.maximum;
    const bool less = maximum < other.maximum;
    const float factor = equal ? 1.0f : expf(-fabsf(maximum - other.maximum));
    // The two orders of operands round alike: both sides of a shuffle get the same sum.
    const float high = less ? other.sum : sum;
    const float low = less ? sum : other.sum;
    sum = equal ? sum + other.sum : fmaf(low, factor, high);
    if (less || (equal && other.id < id)) id = other.id;
    maximum = fmaxf(maximum, other.maximum);
  }
};

// NaN counts as minus infinity, plus infinity as the largest finite number.
__device__ inline float CleanLogit(float logit) {
  return isnan(logit) ? -INFINITY : fminf(logit, FLT_MAX);
}

// Four logits from `at` on, minus infinity past the end. `aligned`: `from` is so to 16 bytes,
// and count is a multiple of 4.
__device__ inline float4 LoadFour(const float* from, int32_t at, int32_t count, bool aligned) {
  float4 four = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  if (aligned) {
    if (at < count) four = *reinterpret_cast<const float4*>(from + at);
  } else {
    if (at < count) four.x = from[at];
    if (at + 1 < count) four.y = from[at + 1];
    if (at + 2 < count) four.z = from[at + 2];
    if (at + 3 < count) four.w = from[at + 3];
  }
  return {CleanLogit(four.x), CleanLogit(four.y), CleanLogit(four.z), CleanLogit(four.w)};
}

// This thread's part of a slice's logits `from`. Clean logits go to `keep` too unless it is null.
__device__ inline RowStats ReadSlice(const float* from, const RowSlice& slice, bool aligned,
                                     float* keep) {
  // 4 pieces of 16 bytes in flight: a block's share of 50,288 logits is 3.1 a thread.
  constexpr int kPieces = 4;
  constexpr int32_t kStep = 4 * kClusterThreads;
  RowStats stats;
  for (int32_t first = 4 * threadIdx.x; first < slice.count; first += kPieces * kStep) {
    float4 fours[kPieces];
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      fours[p] = LoadFour(from, first + p * kStep, slice.count, aligned);
    }
    const float before = stats.maximum;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const float values[4] = {fours[p].x, fours[p].y, fours[p].z, fours[p].w};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int32_t at = first + p * kStep + j;
        if (values[j] > stats.maximum) {  // ids ascend: the first of equals stays
          stats.maximum = values[j];
          stats.id = slice.begin + at;
        }
        if (keep != nullptr && at < slice.count) keep[at] = values[j];
      }
    }
    if (stats.maximum == -INFINITY) continue;
    stats.sum *= expf(before - stats.maximum);
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      stats.sum += expf(fours[p].x - stats.maximum) + expf(fours[p].y - stats.maximum) +
                   expf(fours[p].z - stats.maximum) + expf(fours[p].w - stats.maximum);
    }
  }
  return stats;
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_ROW_CUH_
