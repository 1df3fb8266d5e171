// Chooses the expansion span: the k distant blocks most relevant to a chunk.
//
// What: for one layer, one KV head and one query chunk, relevance of a block =
//   max over its tokens, the chunk's positions and the KV head's query heads of
//   q . key, both before RoPE, fp32. Host memory; the oracle for other devices.
// Thread safety: ChooseSpan is pure; scratch is one per thread.
// Ownership: borrows everything. Preconditions: CHECKed.
//
// Two-stage rule: a block's upper bound sum_d max(q_d max_d, q_d min_d) ranks
// all distant blocks; the best `first_candidates` are scored exactly; then every
// block whose bound reaches the k-th exact score is scored too, best bound first,
// up to `candidate_budget`. The choice is proven when the k-th exact score is
// above every bound left out. Equal scores: the lower block wins. A NaN score
// counts as -inf. When the span holds every distant block nothing is read.
#ifndef EIDETIC_MEMORY_SPAN_RETRIEVAL_H_
#define EIDETIC_MEMORY_SPAN_RETRIEVAL_H_

#include <cstdint>
#include <vector>

#include "memory/ids.h"
#include "memory/page_layout.h"
#include "memory/span_settings.h"

namespace eidetic::memory {

// One question to the index. Worked example: 3 query heads a KV head and a
// chunk of 512 positions give query_count = 1536.
struct SpanQuery {
  const float* queries = nullptr;  // [query_count][head_dim], before RoPE, rows contiguous
  int32_t query_count = 0;
  const void* const* pages = nullptr;          // [block] -> KV page of this layer; null: late
  const void* const* tiles = nullptr;          // [block / kTileBlocks] -> index tile of this layer
  SummaryKind summary = SummaryKind::kBounds;  // what the tiles hold
  int32_t kv_head = 0;
  BlockIndex first = 0, last = 0;  // distant blocks [first, last), all complete
  RetrievalRule rule = RetrievalRule::kTwoStage;
  int32_t span_blocks = 8;
  int32_t first_candidates = 256;
  int32_t candidate_budget = 256;
};

struct SpanChoice {
  std::vector<BlockIndex> blocks;  // ascending; min(k, last - first) of them
  std::vector<float> scores;       // relevance of each under the rule; 0 if all were chosen unread
  bool proven = false;             // equal to what the exact rule chooses, provably
  int32_t candidates_read = 0;     // blocks whose keys were read
  // Blocks that were to be read and are late: if any, the choice is void. What is chosen unread
  // may be late, too.
  std::vector<BlockIndex> late;
};

// Reusable working memory, so that a decode step allocates nothing.
struct SpanScratch {
  std::vector<float> bounds;
  std::vector<float> exact;
  std::vector<BlockIndex> order;
};

SpanChoice ChooseSpan(const PageLayout& layout, const SpanQuery& query, SpanScratch* scratch);

// Writes the summary of one complete block into lane `block % kTileBlocks` of
// `tile`, for every KV head; kNone writes nothing. kPooled: the mean key attends over the block's
// keys (softmax of mean . key / sqrt(head_dim)) and the weighted sum is kept.
void SummarizeBlock(const PageLayout& layout, SummaryKind kind, const void* page, BlockIndex block,
                    void* tile);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SPAN_RETRIEVAL_H_
