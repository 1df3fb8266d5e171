// Attention of a tile of query rows over one block of keys after the other.
//
// What: FlashAttention's online softmax (Dao et al. 2022): a running maximum, a
//   running sum and an unnormalised output per query, updated block by block.
// Thread safety: one tile a thread, with its own scratch. Ownership: borrows.
// Preconditions: included after hwy/foreach_target.h; blocks come in order.
//
// A query's result depends on the list of its blocks alone: a score is one chain
// over the channels, the sum of a block's weights is taken once per block, and an
// output channel is one chain over all tokens. Tokens that a query must not see
// are left out of its chains, not multiplied by zero.
#if defined(EIDETIC_ENGINE_BACKEND_CPU_ONLINE_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EIDETIC_ENGINE_BACKEND_CPU_ONLINE_SOFTMAX_INL_H_
#undef EIDETIC_ENGINE_BACKEND_CPU_ONLINE_SOFTMAX_INL_H_
#else
#define EIDETIC_ENGINE_BACKEND_CPU_ONLINE_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/backend/cpu/attention_tile.h"
#include "engine/backend/cpu/rope_table.h"
#include "engine/backend/cpu/tile_kernel-inl.h"
#include "memory/page_layout.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

// One block of one KV head, ready for use: keys [head_dim][S], of which the
// first rotary_dim channels have been rotated, and values [S][columns].
struct BlockView {
  const float* rotated;  // [rotary_dim][S]
  const float* plain;    // [head_dim - rotary_dim][S]
  const float* values;   // row stride `columns`
};

class OnlineSoftmax {
 public:
  OnlineSoftmax(const memory::PageLayout& layout, const RopeTable& rope, int64_t queries,
                AttentionScratch* scratch)
      : layout_(layout),
        rope_(rope),
        columns_((layout.head_dim + 15) / 16 * 16),
        scratch_(scratch),
        q_(scratch->queries.Ensure(queries * layout.head_dim)),
        out_(scratch->outputs.Ensure(queries * columns_)),
        maximum_(scratch->maxima.Ensure(queries)),
        sum_(scratch->sums.Ensure(queries)),
        block_sum_(scratch->block_sums.Ensure(queries)),
        weights_(scratch->weights.Ensure(kMaxTileRows * layout.block_size)) {
    std::fill_n(out_, queries * columns_, 0.0f);
    std::fill_n(maximum_, queries, -std::numeric_limits<float>::infinity());
    std::fill_n(sum_, queries, 0.0f);
  }

  // Query `query`, [head_dim], rotated to `position` and multiplied by `scale`.
  void SetQuery(int64_t query, const float* from, int64_t position, float scale) {
    float* to = q_ + query * layout_.head_dim;
    std::copy_n(from, layout_.head_dim, to);
    const int64_t half = rope_.rotary_dim() / 2;
    const float* turn =
        half == 0 ? nullptr
                  : RopeTileOf(position / kRopeTilePositions) + position % kRopeTilePositions;
    for (int64_t i = 0; i < half; ++i, turn += 2 * kRopeTilePositions) {
      const float cosine = turn[0], sine = turn[kRopeTilePositions];
      to[i] = from[i] * cosine - from[i + half] * sine;
      to[i + half] = from[i + half] * cosine + from[i] * sine;
    }
    for (int64_t d = 0; d < layout_.head_dim; ++d) to[d] *= scale;
  }

  // Makes a page's block ready, its first token standing at `position`, a multiple of 16.
  BlockView Load(const void* page, int32_t kv_head, int64_t position) {
    const float* keys = layout_.Keys(page, kv_head);
    const float* values = layout_.Values(page, kv_head);
    const int64_t size = layout_.block_size;
    float* rotated = scratch_->keys.Ensure(rope_.rotary_dim() * size);
    for (int64_t token = 0; token < size && rope_.rotary_dim() > 0; token += 16) {
      RotateKeys(keys + token, (position + token) / kRopeTilePositions, rotated + token);
    }
    if (columns_ != layout_.head_dim) {
      float* padded = scratch_->values.Ensure(size * columns_);
      for (int64_t t = 0; t < size; ++t) {
        std::copy_n(values + t * layout_.head_dim, layout_.head_dim, padded + t * columns_);
        std::fill_n(padded + t * columns_ + layout_.head_dim, columns_ - layout_.head_dim, 0.0f);
      }
      values = padded;
    }
    return {rotated, keys + rope_.rotary_dim() * size, values};
  }

  // Queries [begin, end) attend to the block's first `tokens` tokens, 1 <= tokens <= S.
  void Attend(const BlockView& block, int64_t begin, int64_t end, int64_t tokens) {
    for (int64_t query = begin; query < end; query += kMaxTileRows) {
      const int rows = static_cast<int>(std::min<int64_t>(kMaxTileRows, end - query));
      WithTileRows(rows, [&](auto constant) { AttendRows<constant>(block, query, tokens); });
    }
  }

  // The sum of weights in the block that the query attended to last, relative to exp(maximum).
  float block_sum(int64_t query) const { return block_sum_[query]; }
  float maximum(int64_t query) const { return maximum_[query]; }
  float sum(int64_t query) const { return sum_[query]; }

  void Finish(int64_t query, float* to) const {
    const float* from = out_ + query * columns_;
    for (int64_t d = 0; d < layout_.head_dim; ++d) to[d] = from[d] / sum_[query];
  }

 private:
  const float* RopeTileOf(int64_t tile) {
    return rope_.Tile(tile, scratch_->rope.Ensure(rope_.tile_floats()));
  }

  // 16 tokens of a block; keys and `to` have row stride S.
  void RotateKeys(const float* keys, int64_t tile, float* to) {
    const float* turn = RopeTileOf(tile);
    const int64_t half = rope_.rotary_dim() / 2 * layout_.block_size;
    for (int64_t i = 0; i < half; i += layout_.block_size, turn += 2 * kRopeTilePositions) {
      for (int64_t j = 0; j < kRopeTilePositions; j += kLanes) {
        const FloatVector cosine = hn::LoadU(kFloat, turn + j);
        const FloatVector sine = hn::LoadU(kFloat, turn + kRopeTilePositions + j);
        const FloatVector first = hn::LoadU(kFloat, keys + i + j);
        const FloatVector second = hn::LoadU(kFloat, keys + i + half + j);
        hn::StoreU(hn::NegMulAdd(second, sine, hn::Mul(first, cosine)), kFloat, to + i + j);
        hn::StoreU(hn::MulAdd(first, sine, hn::Mul(second, cosine)), kFloat, to + i + half + j);
      }
    }
  }

  template <int R>
  HWY_NOINLINE void AttendRows(const BlockView& block, int64_t query, int64_t tokens) {
    float rescale[R];
    Score<R>(block, query);
    for (int r = 0; r < R; ++r) {
      rescale[r] = Weigh(query + r, tokens, weights_ + r * layout_.block_size);
    }
    AddValues<R>(block, query, tokens, rescale);
  }

  // Calls fn(first column, distance to the second) so that pairs of kLanes
  // columns cover [0, columns); in a last half group the two are the same.
  template <class Fn>
  static HWY_INLINE void ForColumnPairs(int64_t columns, Fn fn) {
    for (int64_t column = 0; column < columns; column += 32) {
      const int64_t high = columns - column >= 32 ? 16 : 0;
      for (int64_t lane = 0; lane < 16; lane += kLanes) fn(column + lane, high);
    }
  }

  // weights_[r][token] = q . key.
  template <int R>
  HWY_INLINE void Score(const BlockView& block, int64_t query) {
    const int64_t size = layout_.block_size, rotary = rope_.rotary_dim();
    const float* q = q_ + query * layout_.head_dim;
    ForColumnPairs(size, [&](int64_t column, int64_t high) {
      Accumulators<R, 1> acc;
      for (int r = 0; r < R; ++r) acc.lo[0][r] = acc.hi[0][r] = hn::Zero(kFloat);
      const F32Weights rotated[1] = {{block.rotated + column, size, high}};
      const F32Weights plain[1] = {{block.plain + column, size, high}};
      MultiplyTile<R, 1>(q, layout_.head_dim, rotary, rotated, acc);
      MultiplyTile<R, 1>(q + rotary, layout_.head_dim, layout_.head_dim - rotary, plain, acc);
      for (int r = 0; r < R; ++r) {
        hn::StoreU(acc.lo[0][r], kFloat, weights_ + r * size + column);
        hn::StoreU(acc.hi[0][r], kFloat, weights_ + r * size + column + high);
      }
    });
  }

  // Turns a row of scores into exp(score - maximum), takes them into the running
  // maximum and sum, and returns by what the output so far must be multiplied.
  HWY_INLINE float Weigh(int64_t query, int64_t tokens, float* row) {
    const FloatVector none = hn::Set(kFloat, -std::numeric_limits<float>::infinity());
    FloatVector maxima = none;
    for (int64_t t = 0; t < tokens; t += kLanes) {
      const auto seen = hn::FirstN(kFloat, static_cast<size_t>(std::min(tokens - t, kLanes)));
      const FloatVector scores = hn::IfThenElse(seen, hn::LoadU(kFloat, row + t), none);
      hn::StoreU(scores, kFloat, row + t);
      maxima = hn::Max(maxima, scores);
    }
    const float before = maximum_[query];
    const float now = std::max(before, hn::GetLane(hn::MaxOfLanes(kFloat, maxima)));
    FloatVector sums = hn::Zero(kFloat);
    for (int64_t t = 0; t < tokens; t += kLanes) {
      const FloatVector weight =
          hn::Exp(kFloat, hn::Sub(hn::LoadU(kFloat, row + t), hn::Set(kFloat, now)));
      hn::StoreU(weight, kFloat, row + t);
      sums = hn::Add(sums, weight);
    }
    const float sum = Sum(sums);
    const float rescale =
        before == now ? 1.0f : hn::GetLane(hn::Exp(kFloat, hn::Set(kFloat, before - now)));
    maximum_[query] = now;
    sum_[query] = sum_[query] * rescale + sum;
    block_sum_[query] = sum;
    return rescale;
  }

  // out = rescale * out + weights . values.
  template <int R>
  HWY_INLINE void AddValues(const BlockView& block, int64_t query, int64_t tokens,
                            const float (&rescale)[R]) {
    float* out = out_ + query * columns_;
    ForColumnPairs(columns_, [&](int64_t column, int64_t high) {
      Accumulators<R, 1> acc;
      for (int r = 0; r < R; ++r) {
        const FloatVector factor = hn::Set(kFloat, rescale[r]);
        const float* from = out + r * columns_ + column;
        acc.lo[0][r] = hn::Mul(hn::LoadU(kFloat, from), factor);
        acc.hi[0][r] = hn::Mul(hn::LoadU(kFloat, from + high), factor);
      }
      const F32Weights values[1] = {{block.values + column, columns_, high}};
      MultiplyTile<R, 1>(weights_, layout_.block_size, tokens, values, acc);
      for (int r = 0; r < R; ++r) {
        hn::StoreU(acc.lo[0][r], kFloat, out + r * columns_ + column);
        hn::StoreU(acc.hi[0][r], kFloat, out + r * columns_ + column + high);
      }
    });
  }

  const memory::PageLayout& layout_;
  const RopeTable& rope_;
  const int64_t columns_;  // head_dim rounded up to 16
  AttentionScratch* scratch_;
  float* q_;          // [queries][head_dim]
  float* out_;        // [queries][columns], not yet divided by sum_
  float* maximum_;    // [queries]
  float* sum_;        // [queries], relative to exp(maximum)
  float* block_sum_;  // [queries], of the last block
  float* weights_;    // [kMaxTileRows][S]
};

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
