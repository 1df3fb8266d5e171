// Draws a row's token: filters, then the inverse of the cumulative distribution over ids.
//
// What: weights exp((l - max) / t) are rounded to a fixed point in which a row's weights add up
//   to less than 2^63: 2^44 a unit for 2^18 tokens, far finer than the float itself.
// Thread safety: device code of a whole cluster. Ownership: borrows everything.
// Preconditions: as SelectKey; the slice holds adjusted logits, not all minus infinity.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_DRAW_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_DRAW_CUH_

#include <cmath>
#include <cstdint>

#include "engine/backend/cuda/sample_select.cuh"

namespace eidetic::cuda {

// What is done with one row; staged.
struct RowRule {
  double noise = 0;  // in [0, 1)
  float temperature = 0, top_p = 1, min_p = 0;
  int32_t top_k = 0;
  int32_t given = -1;  // the token to score; -1: draw one
  int32_t top = 0;     // alternatives to report
  // Into the adjustments: penalties (each token once), then biases (likewise).
  int32_t adjustments = 0, penalties = 0, biases = 0;
  int32_t quick = 0;  // nothing but the best token or the given one is wanted
};

// A kept token's weight; 0 for all others.
struct KeptWeight {
  TokenKeys keys;
  uint64_t last;  // key by logit of the last token kept
  float maximum, temperature, min_p;
  float scale;  // of the fixed point

  __device__ uint64_t operator()(float logit, int32_t id) const {
    if (keys.OfLogit(logit, id) < last) return 0;
    const float weight = expf((logit - maximum) / temperature);
    return weight < min_p ? 0 : __float2ull_rn(weight * scale);
  }
};

// The order: top-k, top-p over what top-k leaves, min-p over what top-p leaves, draw.
__device__ inline int32_t DrawToken(const RowRule& rule, const RowSlice& slice,
                                    const TokenKeys& keys, float maximum, ClusterMerge* merge) {
  const auto by_logit = [&](float logit, int32_t id) { return keys.OfLogit(logit, id); };
  const auto by_id = [&](float, int32_t id) { return keys.OfId(id); };
  const auto one = [](float, int32_t) { return uint64_t{1}; };
  KeptWeight kept = {.keys = keys,
                     .last = 0,
                     .maximum = maximum,
                     .temperature = rule.temperature,
                     .min_p = 0,
                     .scale = static_cast<float>(uint64_t{1} << (62 - keys.id_bits))};
  if (rule.top_k > 0 && rule.top_k < keys.vocab) {
    kept.last = SelectKey(slice, 32 + keys.id_bits, static_cast<uint64_t>(rule.top_k),
                          Until::kSetKnown, by_logit, one, merge);
  }
  if (rule.top_p < 1.0f) {
    const double total = static_cast<double>(SumMeasure(slice, kept, merge));
    // At least the best token stays.
    const double target = fmax(1.0, ceil(static_cast<double>(rule.top_p) * total));
    kept.last = SelectKey(slice, 32 + keys.id_bits, static_cast<uint64_t>(target), Until::kSetKnown,
                          by_logit, kept, merge);
  }
  kept.min_p = rule.min_p;
  const uint64_t total = SumMeasure(slice, kept, merge);
  // The first id at which the sum is above noise * total. The product may round up to total.
  const uint64_t below =
      min(static_cast<uint64_t>(rule.noise * static_cast<double>(total)), total - 1);
  return keys.vocab - 1 -
         static_cast<int32_t>(
             SelectKey(slice, keys.id_bits, below + 1, Until::kKeyKnown, by_id, kept, merge));
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_DRAW_CUH_
