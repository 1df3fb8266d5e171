#include "memory/span_retrieval_oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace eidetic::memory {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

std::vector<float> OracleScores(const PageLayout& layout, const SpanQuery& query) {
  std::vector<float> scores(query.last - query.first, -kInfinity);
  for (BlockIndex block = query.first; block < query.last; ++block) {
    const float* keys = layout.Keys(query.pages[block], query.kv_head);
    float& best = scores[block - query.first];
    for (int32_t i = 0; i < query.query_count; ++i) {
      for (int32_t token = 0; token < layout.block_size; ++token) {
        float sum = 0;
        for (int32_t d = 0; d < layout.head_dim; ++d) {
          sum = std::fma(query.queries[int64_t{i} * layout.head_dim + d],
                         keys[int64_t{d} * layout.block_size + token], sum);
        }
        if (sum > best) best = sum;
      }
    }
  }
  return scores;
}

std::vector<float> OracleBounds(const PageLayout& layout, const SpanQuery& query) {
  std::vector<float> bounds(query.last - query.first, -kInfinity);
  for (BlockIndex block = query.first; block < query.last; ++block) {
    const void* tile = query.tiles[block / kTileBlocks];
    const Bf16* high = layout.Summary(tile, query.kv_head, 0, 2) + block % kTileBlocks;
    const Bf16* low = layout.Summary(tile, query.kv_head, 1, 2) + block % kTileBlocks;
    float& best = bounds[block - query.first];
    for (int32_t i = 0; i < query.query_count; ++i) {
      float sum = 0;
      for (int32_t d = 0; d < layout.head_dim; ++d) {
        const float q = query.queries[int64_t{i} * layout.head_dim + d];
        sum = std::fma(q, Widen((q >= 0 ? high : low)[int64_t{d} * kTileBlocks]), sum);
      }
      if (std::isnan(sum)) sum = kInfinity;
      if (sum > best) best = sum;
    }
  }
  return bounds;
}

std::vector<BlockIndex> OracleChoice(const SpanQuery& query, const std::vector<float>& scores) {
  std::vector<BlockIndex> blocks(scores.size());
  std::iota(blocks.begin(), blocks.end(), 0);
  std::stable_sort(blocks.begin(), blocks.end(),
                   [&](BlockIndex a, BlockIndex b) { return scores[a] > scores[b]; });
  blocks.resize(std::min<size_t>(blocks.size(), query.span_blocks));
  std::sort(blocks.begin(), blocks.end());
  for (BlockIndex& block : blocks) block += query.first;
  return blocks;
}

}  // namespace eidetic::memory
