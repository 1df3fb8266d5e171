#include "memory/span_retrieval.h"

#include <glog/logging.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "memory/dot_kernels.h"

namespace eidetic::memory {
namespace {

// Orders blocks, the best first: higher score, then lower block. A total order,
// since scores and bounds are never NaN: what is chosen does not depend on how
// the standard library selects.
struct Better {
  const float* scores;  // [block - base]
  BlockIndex base;

  float Score(BlockIndex block) const { return scores[block - base]; }
  bool operator()(BlockIndex a, BlockIndex b) const {
    return Score(a) > Score(b) || (Score(a) == Score(b) && a < b);
  }
};

// One choice among more distant blocks than there is room for.
class Chooser {
 public:
  Chooser(const PageLayout& layout, const SpanQuery& query, SpanScratch* scratch)
      : layout_(layout),
        query_(query),
        rows_{query.queries, query.query_count, layout.head_dim},
        first_tile_(query.first / kTileBlocks),
        base_(first_tile_ * kTileBlocks),
        bounds_(scratch->bounds),
        exact_(scratch->exact),
        order_(scratch->order) {
    order_.resize(query.last - query.first);
    std::iota(order_.begin(), order_.end(), query.first);
  }

  SpanChoice Choose() {
    if (query_.rule == RetrievalRule::kTwoStage) return TwoStage();
    if (query_.rule == RetrievalRule::kExact) return Exact();
    ScoreSummaries();
    const Better by_summary{bounds_.data(), base_};
    std::nth_element(order_.begin(), Chosen(), order_.end(), by_summary);
    return Finish(by_summary, /*proven=*/false);
  }

 private:
  using Iterator = std::vector<BlockIndex>::iterator;

  // The best blocks gather in the front of order_, as many as the span holds.
  Iterator Chosen() { return order_.begin() + query_.span_blocks; }

  SpanChoice Exact() {
    exact_.resize(query_.last - base_);
    for (BlockIndex block : order_) ReadBlock(block);
    const Better by_score{exact_.data(), base_};
    std::nth_element(order_.begin(), Chosen(), order_.end(), by_score);
    return Finish(by_score, /*proven=*/true);
  }

  SpanChoice TwoStage() {
    ScoreSummaries();
    const int32_t first = std::max(query_.first_candidates, query_.span_blocks);
    const Iterator rest = order_.begin() + std::min<size_t>(first, order_.size());
    GatherBestBounds(rest);
    exact_.resize(query_.last - base_);
    const Better by_bound{bounds_.data(), base_}, by_score{exact_.data(), base_};
    std::for_each(order_.begin(), rest, [this](BlockIndex block) { ReadBlock(block); });
    std::nth_element(order_.begin(), Chosen(), rest, by_score);
    return Finish(by_score, Widen(rest, by_bound, by_score));
  }

  // Moves the blocks of the best bounds to [order_.begin(), rest), ascending, so that
  // their pages are read in the order in which memory serves them fastest. Selecting
  // among the bounds themselves and then passing once over the blocks is twice as fast
  // as selecting among blocks.
  void GatherBestBounds(Iterator rest) {
    if (rest == order_.end()) return;  // order_ is ascending already
    const int64_t wanted = rest - order_.begin();
    std::vector<float>& sorted = exact_;  // not in use yet
    sorted.assign(bounds_.begin() + (query_.first - base_),
                  bounds_.begin() + (query_.last - base_));
    std::nth_element(sorted.begin(), sorted.begin() + wanted, sorted.end(), std::greater<float>());
    const float border = sorted[wanted];  // the best bound left out, if none equals it
    const int64_t above = std::count_if(sorted.begin(), sorted.begin() + wanted,
                                        [border](float bound) { return bound > border; });
    int64_t equal = wanted - above;  // blocks at the border that are taken, the lowest first
    Iterator taken = order_.begin(), left = rest;
    for (BlockIndex block = query_.first; block < query_.last; ++block) {
      const float bound = bounds_[block - base_];
      *(bound > border || (bound == border && equal-- > 0) ? taken++ : left++) = block;
    }
  }

  // Reads on among [rest, end), the best bound first, until none of them can be
  // among the chosen (true) or the budget is spent (false).
  bool Widen(Iterator rest, const Better& by_bound, const Better& by_score) {
    const auto worse_bound = [&](BlockIndex a, BlockIndex b) { return by_bound(b, a); };
    // A heap whose front is the worst of the chosen: the one to beat.
    std::make_heap(order_.begin(), Chosen(), by_score);
    Iterator end = std::partition(rest, order_.end(), [&](BlockIndex block) {
      return by_bound.Score(block) >= by_score.Score(order_.front());
    });
    std::make_heap(rest, end, worse_bound);
    while (rest != end && by_bound.Score(*rest) >= by_score.Score(order_.front())) {
      if (read_ == query_.candidate_budget) return false;
      std::pop_heap(rest, end, worse_bound);
      const BlockIndex block = *--end;
      ReadBlock(block);
      if (!by_score(block, order_.front())) continue;
      std::pop_heap(order_.begin(), Chosen(), by_score);
      *(Chosen() - 1) = block;
      std::push_heap(order_.begin(), Chosen(), by_score);
    }
    return true;
  }

  void ReadBlock(BlockIndex block) {
    ++read_;
    if (query_.pages[block] == nullptr) {
      late_.push_back(block);
      exact_[block - base_] = -std::numeric_limits<float>::infinity();
      return;
    }
    const float* keys = layout_.Keys(query_.pages[block], query_.kv_head);
    exact_[block - base_] = MaxDot(rows_, keys, layout_.block_size);
  }

  void ScoreSummaries() {
    const int32_t tile_count = (query_.last - 1) / kTileBlocks - first_tile_ + 1;
    bounds_.resize(size_t(tile_count) * kTileBlocks);
    const int64_t offset = layout_.SummaryOffset(query_.kv_head, 0, SummaryVectors(query_.summary));
    const auto score = query_.summary == SummaryKind::kBounds ? TileBounds : TileDots;
    score(rows_, query_.tiles + first_tile_, tile_count, offset, bounds_.data());
  }

  SpanChoice Finish(const Better& scores, bool proven) {
    SpanChoice choice;
    choice.blocks.assign(order_.begin(), Chosen());
    std::sort(choice.blocks.begin(), choice.blocks.end());
    choice.scores.reserve(choice.blocks.size());
    for (BlockIndex block : choice.blocks) choice.scores.push_back(scores.Score(block));
    choice.proven = proven;
    choice.candidates_read = read_;
    choice.late = std::move(late_);
    return choice;
  }

  const PageLayout& layout_;
  const SpanQuery& query_;
  const QueryRows rows_;
  const int32_t first_tile_;
  const BlockIndex base_;       // the first block of the first tile
  std::vector<float>& bounds_;  // [block - base], scores by summary
  std::vector<float>& exact_;   // [block - base], of blocks that were read
  std::vector<BlockIndex>& order_;
  int32_t read_ = 0;
  std::vector<BlockIndex> late_;
};

void CheckQuery(const PageLayout& layout, const SpanQuery& query) {
  CHECK(layout.block_size > 0 && layout.block_size % 16 == 0) << layout.block_size;
  CHECK_GT(layout.head_dim, 0);
  CHECK(query.kv_head >= 0 && query.kv_head < layout.kv_heads) << query.kv_head;
  CHECK(query.first >= 0 && query.first <= query.last) << query.first << ", " << query.last;
  CHECK_GT(query.query_count, 0);
  CHECK_GE(query.span_blocks, 0);
  const SummaryKind wanted = SummaryFor(query.rule, SummaryKind::kBounds);
  CHECK(wanted == SummaryKind::kNone || wanted == query.summary) << "the index holds another kind";
  if (query.rule == RetrievalRule::kTwoStage) {
    CHECK_GE(query.candidate_budget, query.first_candidates);
    CHECK_GE(query.candidate_budget, query.span_blocks);
  }
}

}  // namespace

SpanChoice ChooseSpan(const PageLayout& layout, const SpanQuery& query, SpanScratch* scratch) {
  CheckQuery(layout, query);
  const int32_t distant = query.last - query.first;
  const int32_t chosen = std::min(query.span_blocks, distant);
  if (chosen == distant || chosen == 0) {
    SpanChoice choice;
    choice.proven = true;
    choice.blocks.resize(chosen);
    std::iota(choice.blocks.begin(), choice.blocks.end(), query.first);
    choice.scores.resize(chosen, 0.0f);
    return choice;
  }
  return Chooser(layout, query, scratch).Choose();
}

}  // namespace eidetic::memory
