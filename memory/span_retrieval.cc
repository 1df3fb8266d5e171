#include "memory/span_retrieval.h"

#include <glog/logging.h>

#include <algorithm>
#include <numeric>

#include "memory/dot_kernels.h"

namespace eidetic::memory {
namespace {

// Orders blocks, the best first: higher score, then lower block. A total order,
// since scores and bounds are never NaN: what is chosen does not depend on how
// the library sorts.
struct Better {
  const float* scores;  // [block - base]
  BlockIndex base;
  bool operator()(BlockIndex a, BlockIndex b) const {
    const float x = scores[a - base], y = scores[b - base];
    return x > y || (x == y && a < b);
  }
};

class Chooser {
 public:
  Chooser(const PageLayout& layout, const SpanQuery& query, SpanScratch* scratch)
      : layout_(layout),
        query_(query),
        rows_{query.queries, query.query_count, layout.head_dim},
        first_tile_(query.first / kTileBlocks),
        base_(first_tile_ * kTileBlocks),
        scratch_(*scratch) {}

  SpanChoice Choose() {
    scratch_.order.resize(query_.last - query_.first);
    std::iota(scratch_.order.begin(), scratch_.order.end(), query_.first);
    switch (query_.rule) {
      case RetrievalRule::kTwoStage:
        return TwoStage();
      case RetrievalRule::kExact:
        return Exact();
      default:
        ScoreSummaries();
        return Best(scratch_.bounds);
    }
  }

 private:
  int32_t count() const { return query_.last - query_.first; }

  // The score of every block by its summary, into scratch.bounds[block - base].
  void ScoreSummaries() {
    const int32_t tile_count = (query_.last - 1) / kTileBlocks - first_tile_ + 1;
    scratch_.bounds.resize(size_t(tile_count) * kTileBlocks);
    const int64_t offset =
        layout_.Summary(static_cast<const void*>(nullptr), query_.kv_head, 0,
                        SummaryVectors(query_.summary)) - static_cast<const float*>(nullptr);
    auto score = query_.summary == SummaryKind::kBounds ? TileBounds : TileDots;
    score(rows_, query_.tiles + first_tile_, tile_count, offset, scratch_.bounds.data());
  }

  const PageLayout& layout_;
  const SpanQuery& query_;
  const QueryRows rows_;
  const int32_t first_tile_;
  const BlockIndex base_;  // the first block of the first tile
  SpanScratch& scratch_;
};
}
}
