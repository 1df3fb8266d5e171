// Flow: rotate the queries, then go through sinks, span and window in this
// order: each block is rotated once for the whole tile, and every row that may
// see it attends to it.
#include "engine/backend/cpu/attention_tile.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/attention_tile.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/online_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

class TileWork {
 public:
  TileWork(const SpanAttentionParams& params, const SpanAttentionRequest& request,
           const TileRows& rows, const RopeTable& rope, AttentionScratch* scratch)
      : params_(params),
        request_(request),
        chunk_(params.chunks[request.chunk]),
        kv_head_(rows.kv_head),
        group_(params.q_heads / params.layout.kv_heads),
        begin_(rows.begin),
        end_(rows.end),
        queries_((end_ - begin_) * group_),
        // Where the window's first token stands.
        window_position_(request.remap ? int64_t{request.sink_blocks + request.span_count} *
                                             params.layout.block_size
                                       : request.window_begin),
        softmax_(params.layout, rope, queries_, scratch),
        scratch_(scratch) {}

  // Writes the rows' outputs; adds the mass of every span block to `mass` unless null.
  void Run(double* mass) {
    const int64_t size = params_.layout.block_size;
    SetQueries();
    for (int64_t block = 0; block < request_.sink_blocks; ++block) {
      AttendAll(block, block * size);
    }
    AttendSpan(mass != nullptr);
    AttendWindow();
    for (int64_t query = 0; query < queries_; ++query) softmax_.Finish(query, Output(query));
    if (mass != nullptr) AddMass(mass);
  }

 private:
  // Query (row, j) of the tile is number row * group + j; offset of its channels in a row.
  int64_t HeadOffset(int64_t query) const {
    return (kv_head_ * group_ + query % group_) * params_.layout.head_dim;
  }
  int64_t Row(int64_t query) const { return chunk_.row_begin + begin_ + query / group_; }
  float* Output(int64_t query) const {
    const int64_t width = int64_t{params_.q_heads} * params_.layout.head_dim;
    return static_cast<float*>(params_.out) + Row(query) * width + HeadOffset(query);
  }

  void SetQueries() {
    for (int64_t query = 0; query < queries_; ++query) {
      const int64_t position = chunk_.begin + begin_ + query / group_;
      softmax_.SetQuery(
          query,
          static_cast<const float*>(params_.q) + Row(query) * params_.q_stride + HeadOffset(query),
          position - request_.window_begin + window_position_, params_.scale);
    }
  }

  void AttendAll(int64_t block, int64_t position) {
    softmax_.Attend(softmax_.Load(chunk_.pages[block], kv_head_, position), 0, queries_,
                    params_.layout.block_size);
  }

  void AttendSpan(bool keep_sums) {
    if (request_.span_count == 0) return;
    const int64_t size = params_.layout.block_size;
    const int32_t* blocks =
        params_.blocks +
        (int64_t{request_.span_row} * params_.layout.kv_heads + kv_head_) * params_.max_span;
    for (int64_t i = 0; i < request_.span_count; ++i) {
      const int64_t block = blocks[i];
      CHECK_GE(block, request_.sink_blocks) << "a span block overlaps the sinks";
      CHECK_LE((block + 1) * size, request_.window_begin) << "a span block overlaps the window";
      AttendAll(block, (request_.remap ? request_.sink_blocks + i : block) * size);
      if (keep_sums) KeepSums(i);
    }
  }

  // Causal: a row sees the block up to its own position.
  void AttendWindow() {
    const int64_t size = params_.layout.block_size;
    const int64_t first = chunk_.begin + begin_;  // position of the tile's first row
    const int64_t last = chunk_.begin + end_ - 1;
    for (int64_t start = request_.window_begin; start <= last; start += size) {
      const BlockView block = softmax_.Load(chunk_.pages[start / size], kv_head_,
                                            start - request_.window_begin + window_position_);
      // Rows before `start` see nothing of the block, rows from `whole` on all of it.
      const int64_t whole = std::max(start + size - 1, first);
      for (int64_t at = std::max(start, first); at < std::min(whole, last + 1); ++at) {
        const int64_t query = (at - first) * group_;
        softmax_.Attend(block, query, query + group_, at - start + 1);
      }
      if (whole <= last) softmax_.Attend(block, (whole - first) * group_, queries_, size);
    }
  }

  void KeepSums(int64_t i) {
    const int64_t count = request_.span_count;
    float* sums = scratch_->span_sums.Ensure(queries_ * count);
    float* maxima = scratch_->span_maxima.Ensure(queries_ * count);
    for (int64_t query = 0; query < queries_; ++query) {
      sums[query * count + i] = softmax_.block_sum(query);
      maxima[query * count + i] = softmax_.maximum(query);
    }
  }

  void AddMass(double* mass) {
    const int64_t count = request_.span_count;
    const float* sums = scratch_->span_sums.Ensure(queries_ * count);
    const float* maxima = scratch_->span_maxima.Ensure(queries_ * count);
    for (int64_t query = 0; query < queries_; ++query) {
      for (int64_t i = 0; i < count; ++i) {
        const double rescale =
            std::exp(double{maxima[query * count + i]} - softmax_.maximum(query));
        mass[i] += sums[query * count + i] * rescale / softmax_.sum(query);
      }
    }
  }

  const SpanAttentionParams& params_;
  const SpanAttentionRequest& request_;
  const AttentionChunk& chunk_;
  const int32_t kv_head_;
  const int64_t group_;        // query heads of a KV head
  const int64_t begin_, end_;  // rows of the chunk
  const int64_t queries_;
  const int64_t window_position_;
  OnlineSoftmax softmax_;
  AttentionScratch* scratch_;
};

void AttendTileOnTarget(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                        const TileRows& rows, const RopeTable& rope, AttentionScratch* scratch,
                        double* mass) {
  TileWork(params, request, rows, rope, scratch).Run(mass);
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(AttendTileOnTarget);

void AttendTile(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                const TileRows& rows, const RopeTable& rope, AttentionScratch* scratch,
                double* mass) {
  HWY_DYNAMIC_DISPATCH(AttendTileOnTarget)(params, request, rows, rope, scratch, mass);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
