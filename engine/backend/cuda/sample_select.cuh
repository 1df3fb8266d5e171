// Finds the boundary of a best part of a row: the k best tokens, the nucleus, the drawn id.
//
// What: every token has a 64-bit key, different from all others', and a measure: a count or a
//   weight in fixed point. Integers sum to the same in any order, so no result depends on
//   how threads share the work.
// Thread safety: device code of a whole cluster. Ownership: borrows everything.
// Preconditions: as ClusterMerge; nobody changes the slice meanwhile.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_SELECT_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_SELECT_CUH_

#include <cstdint>

#include "engine/backend/cuda/cluster_merge.cuh"
#include "engine/backend/cuda/sample_row.cuh"

namespace eidetic::cuda {

// Keys of tokens: larger is better.
struct TokenKeys {
  int32_t vocab;
  int32_t id_bits;  // of vocab - 1

  // Among all tokens the lower id is better.
  __device__ uint64_t OfId(int32_t id) const { return static_cast<uint64_t>(vocab - 1 - id); }
  // The higher logit is better, the lower id among equals.
  __device__ uint64_t OfLogit(float logit, int32_t id) const {
    const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 and 0 are equals
    const uint32_t ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    return (static_cast<uint64_t>(ordered) << id_bits) | OfId(id);
  }
};

struct MeasureSum {
  uint64_t measure = 0;
  __device__ void Merge(const MeasureSum& other) { measure += other.measure; }
};

// Sums over the upper three quarters of an interval of keys.
struct QuarterSums {
  uint64_t measure[3] = {};
  uint32_t count[3] = {};
  uint32_t padding = 0;

  __device__ void Merge(const QuarterSums& other) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      measure[i] += other.measure[i];
      count[i] += other.count[i];
    }
  }
};

template <typename MeasureOf>  // uint64_t(float logit, int32_t id)
__device__ inline uint64_t SumMeasure(const RowSlice& slice, const MeasureOf& measure_of,
                                      ClusterMerge* merge) {
  MeasureSum sum;
  for (int32_t i = threadIdx.x; i < slice.count; i += kClusterThreads) {
    sum.measure += measure_of(slice.values[i], slice.begin + i);
  }
  return (*merge)(sum).measure;
}

// How far SelectKey goes on.
enum class Until : uint8_t {
  kSetKnown,  // the tokens of the key found and better are those wanted
  kKeyKnown,  // and the key is that of the last of them
};

// The largest key such that all tokens of this key and larger ones measure at least `target`,
// where 1 <= target <= the measure of all tokens. Keys are below 2^bits.
//
// 1. The key lies in [begin, begin + 4 * 2^shift); `above` is the measure of all larger keys,
//    less than target.
// 2. Sum the upper three quarters of this interval; from the top, take the first that reaches
//    the target, else the lowest.
// 3. Two bits are known more. A quarter with one token alone settles the set.
// Two bits a pass: three sums still fit in registers, and a row of 50,288 needs 24 passes at most.
template <typename KeyOf, typename MeasureOf>  // uint64_t(float logit, int32_t id), both
__device__ inline uint64_t SelectKey(const RowSlice& slice, int32_t bits, uint64_t target,
                                     Until until, const KeyOf& key_of, const MeasureOf& measure_of,
                                     ClusterMerge* merge) {
  uint64_t begin = 0, above = 0;
  for (int32_t shift = (bits + 1) / 2 * 2 - 2; shift >= 0; shift -= 2) {
    QuarterSums sums;
    for (int32_t i = threadIdx.x; i < slice.count; i += kClusterThreads) {
      const float logit = slice.values[i];
      // Keys below begin wrap round to a large number.
      const uint64_t quarter = (key_of(logit, slice.begin + i) - begin) >> shift;
      if (quarter == 0 || quarter > 3) continue;
      const uint64_t measure = measure_of(logit, slice.begin + i);
#pragma unroll
      for (int q = 0; q < 3; ++q) {
        sums.measure[q] += quarter == q + 1 ? measure : 0;
        sums.count[q] += quarter == q + 1 ? 1 : 0;
      }
    }
    sums = (*merge)(sums);
    uint64_t chosen = 0;
    uint32_t alone = 0;
#pragma unroll
    for (int q = 2; q >= 0; --q) {
      if (chosen != 0) continue;
      if (above + sums.measure[q] >= target) {
        chosen = q + 1;
        alone = sums.count[q] == 1;
      } else {
        above += sums.measure[q];
      }
    }
    begin += chosen << shift;
    if (alone != 0 && until == Until::kSetKnown) break;
  }
  return begin;
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_SELECT_CUH_
