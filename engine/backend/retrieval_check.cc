#include "engine/backend/retrieval_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace eidetic {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = std::numeric_limits<float>::max();
constexpr double kExactIntegers = 1 << 24;  // of float32

ScoreRange RangeOfDot(const float* q, const float* k, int32_t head_dim, double error) {
  double sum = 0, magnitude = 0;
  bool whole = true;
  for (int32_t d = 0; d < head_dim; ++d) {
    const double term = double{q[d]} * k[d];
    sum += term;
    magnitude += std::abs(term);
    whole &= term == std::trunc(term);
  }
  if (std::isnan(sum)) return {-kInfinity, -kInfinity};
  if (std::isinf(sum)) return {sum, sum};
  if (magnitude > 0.99 * kLargest) return {-kInfinity, kInfinity};
  if (whole && magnitude < kExactIntegers) return {sum, sum};
  // What is below the normal numbers may be flushed, term by term.
  const double margin = error * magnitude + head_dim * double{std::numeric_limits<float>::min()};
  return {sum - margin, sum + margin};
}

}  // namespace

std::vector<ScoreRange> ScoreRanges(const AttentionCase& c, const SceneInputs& in, int32_t kv_head,
                                    double error) {
  const int32_t group = c.q_heads / c.kv_heads;
  std::vector<ScoreRange> ranges;
  for (int64_t block = c.sinks; block < c.last_distant(); ++block) {
    ScoreRange best{-kInfinity, -kInfinity};
    for (int64_t t = block * c.block_size; t < (block + 1) * c.block_size; ++t) {
      const float* key = in.keys.data() + t * c.kv_width() + int64_t{kv_head} * c.head_dim;
      for (int64_t row = 0; row < c.rows; ++row) {
        for (int32_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const float* q = in.queries.data() + row * c.query_width() + int64_t{head} * c.head_dim;
          const ScoreRange range = RangeOfDot(q, key, c.head_dim, error);
          best.low = std::max(best.low, range.low);
          best.high = std::max(best.high, range.high);
        }
      }
    }
    ranges.push_back(best);
  }
  return ranges;
}

bool IsChoice(const AttentionCase& c, std::span<const int32_t> blocks) {
  const int32_t wanted = std::min(c.span, c.last_distant() - c.sinks);
  for (int32_t i = 0; i < static_cast<int32_t>(blocks.size()); ++i) {
    if (i >= wanted && blocks[i] != -1) return false;
    if (i < wanted && (blocks[i] < c.sinks || blocks[i] >= c.last_distant())) return false;
    if (i > 0 && i < wanted && blocks[i] <= blocks[i - 1]) return false;
  }
  return true;
}

bool IsBestChoice(const AttentionCase& c, std::span<const int32_t> blocks,
                  const std::vector<ScoreRange>& ranges) {
  for (int32_t chosen : blocks) {
    if (chosen < 0) continue;
    const ScoreRange& mine = ranges[chosen - c.sinks];
    for (int32_t other = c.sinks; other < c.last_distant(); ++other) {
      if (std::find(blocks.begin(), blocks.end(), other) != blocks.end()) continue;
      const ScoreRange& its = ranges[other - c.sinks];
      if (its.low > mine.high) return false;
      const bool known = mine.low == mine.high && its.low == its.high;
      if (known && its.low == mine.low && other < chosen) return false;
    }
  }
  return true;
}

}  // namespace eidetic
