// A first scan of long histories in some channels of the keys: those where the query is largest.
//
// What: the partial score of every distant block (SparQ Attention, arXiv 2312.04985, over the
//   index's codes), and in which of kPartialBins it falls; then the span, of the upper bins.
// Thread safety: as LaunchQueue; the rest is device code. Ownership: borrows everything.
// Preconditions: choices with `partial` have few columns and go by matrix units.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_SCAN_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

// Partial scores are in units of a key's channel. Bins are steps of 2^-6 of a number, from 2^-16 to
// 2^16; what lies beyond counts in the first or the last one.
__device__ inline int32_t PartialBin(float score) {
  const int32_t step = static_cast<int32_t>(__float_as_uint(fmaxf(score, 0.0f)) >> 17);
  return min(max(step - ((127 - 16) << 6), 0), kPartialBins - 1);
}

// With what prepares it, and the choice among what it leaves.
void ScanPartially(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_SCAN_H_
