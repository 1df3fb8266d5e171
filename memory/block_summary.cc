#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "memory/span_retrieval.h"

namespace eidetic::memory {
namespace {

// One KV head's keys and its lane of the tile.
struct HeadSummary {
  const float* keys;  // [head_dim][tokens]
  int32_t head_dim;
  int32_t tokens;
  Bf16* lane;  // channel d at lane[d * kTileBlocks]

  const float* Channel(int32_t d) const { return keys + int64_t{d} * tokens; }
};

void WriteBounds(const HeadSummary& head) {
  Bf16* minima = head.lane + int64_t{head.head_dim} * kTileBlocks;
  for (int32_t d = 0; d < head.head_dim; ++d) {
    // These comparisons pass over NaN: its token scores -inf, under any bound.
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (int32_t t = 0; t < head.tokens; ++t) {
      const float key = head.Channel(d)[t];
      low = key < low ? key : low;
      high = key > high ? key : high;
    }
    head.lane[d * kTileBlocks] = RoundUp(high);
    minima[d * kTileBlocks] = RoundDown(low);
  }
}

// [head_dim]
std::vector<float> Mean(const HeadSummary& head) {
  std::vector<float> mean(head.head_dim, 0.0f);
  for (int32_t d = 0; d < head.head_dim; ++d) {
    for (int32_t t = 0; t < head.tokens; ++t) mean[d] += head.Channel(d)[t];
    mean[d] /= head.tokens;
  }
  return mean;
}

void WriteMean(const HeadSummary& head) {
  const std::vector<float> mean = Mean(head);
  for (int32_t d = 0; d < head.head_dim; ++d) head.lane[d * kTileBlocks] = RoundNearest(mean[d]);
}

void WritePooled(const HeadSummary& head) {
  const std::vector<float> mean = Mean(head);
  std::vector<float> weights(head.tokens, 0.0f);
  for (int32_t d = 0; d < head.head_dim; ++d) {
    for (int32_t t = 0; t < head.tokens; ++t) weights[t] += mean[d] * head.Channel(d)[t];
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(head.head_dim));
  const float top = *std::max_element(weights.begin(), weights.end());
  float total = 0;
  for (float& weight : weights) total += weight = std::exp((weight - top) * scale);
  for (int32_t d = 0; d < head.head_dim; ++d) {
    float sum = 0;
    for (int32_t t = 0; t < head.tokens; ++t) sum += weights[t] * head.Channel(d)[t];
    head.lane[d * kTileBlocks] = RoundNearest(sum / total);
  }
}

}  // namespace

void SummarizeBlock(const PageLayout& layout, SummaryKind kind, const void* page, BlockIndex block,
                    void* tile) {
  CHECK_GE(block, 0);
  for (int32_t g = 0; g < layout.kv_heads && kind != SummaryKind::kNone; ++g) {
    const HeadSummary head{layout.Keys(page, g), layout.head_dim, layout.block_size,
                           layout.Summary(tile, g, 0, SummaryVectors(kind)) + block % kTileBlocks};
    if (kind == SummaryKind::kBounds) WriteBounds(head);
    if (kind == SummaryKind::kMean) WriteMean(head);
    if (kind == SummaryKind::kPooled) WritePooled(head);
  }
}

}  // namespace eidetic::memory
