// The last stages of retrieval: picks candidates by rank, then settles on the span.
//
// What: the job that all stages of RetrieveSpan share, and the launchers of its choosing
//   stages. A choice is one request and one KV head; blocks are counted from its first
//   distant block on. A score's rank is a number that orders as scores do; an entry is a rank
//   and a block, all different, the better one larger: ties go to the lower block.
// Thread safety: as LaunchQueue; Choice is device code, the same in all threads.
// Ownership: borrows everything; the job's arrays lie in the operation's scratch.
// Preconditions: the stages run in the order of RetrieveSpan.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_

#include "engine/backend/cuda/key_codes.cuh"

namespace eidetic::cuda {

// Ranks come with their maximum over every so many blocks, so that choosing need not read all.
inline constexpr int32_t kGroupBlocks = 64;

// A request as the kernels read it: staged, since it changes from step to step.
struct RetrievalPlan {
  RetrievalRequest request;
  AttentionChunk chunk;
  // Where its parts of the job's arrays begin, and how large they are for one KV head.
  int64_t ranks_begin = 0, columns_begin = 0, list_begin = 0;
  int32_t rank_room = 0, column_room = 0, list_room = 0;
};

// A query head of one row: what bounds by codes need beside the product.
struct alignas(16) ColumnFacts {
  float mean_dot;  // q . mean key
  float norm;      // at least |q|
  float offset;    // what 128 + code + 8 adds to the product
  float floor;     // of every bound: -inf; inf when the column bounds nothing
};

struct ChoiceState {
  uint64_t border;      // bounds' entries from here on are on the first list
  uint32_t left_out;    // the best rank that the budget left unread; 0: none
  int32_t first_count;  // candidates on the first list
  int32_t count;        // on both
  int32_t done;
};

struct RetrievalCounters {
  unsigned long long candidates_read = 0, choices = 0, proven = 0;
};

// Arguments of every stage's kernels.
struct RetrievalJob {
  const RetrievalPlan* plans;  // [requests]
  const void* q;
  int64_t q_stride;
  int32_t q_group;  // query heads a KV head
  DevicePage page;
  CodeLayout codes;
  uint32_t* ranks;        // a choice's [rank_room]: of bounds, or of scores
  uint32_t* group_ranks;  // their maxima, [rank_room / kGroupBlocks]
  ColumnFacts* columns;   // [column_room]
  int32_t* candidates;    // [list_room], block numbers
  uint32_t* scores;       // their ranks, [list_room]
  int32_t* chosen;        // [choices][max_span], unordered
  ChoiceState* states;    // [choices]
  int32_t* blocks;        // [choices][max_span]
  int32_t max_span;
  RetrievalCounters* counters;
};

// What the host knows of a job: the sizes of grids, and which stages it needs.
struct RetrievalShape {
  int32_t choices = 0;
  int64_t columns = 0;  // of the longest chunk
  int32_t rank_room = 0, list_room = 0;
  bool matrix_units = false;  // bf16, aligned, of a head_dim that the fast kernels know
  bool by_codes = false, by_summary = false, by_keys = false, two_stage = false;
  bool few_columns = false, many_columns = false;
};

// A chunk of up to so many columns (rows times query heads) fills one tile of the matrix unit.
inline constexpr int64_t kFewColumns = 8;

__device__ inline uint32_t RankOf(float score) {
  // NaN counts as -inf; -0 and 0 are equals.
  const uint32_t bits = __float_as_uint(score == score ? score + 0.0f : -INFINITY);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline uint64_t EntryOf(uint32_t rank, int32_t block) {
  return uint64_t{rank} << 32 | ~static_cast<uint32_t>(block);
}
__device__ inline int32_t BlockOf(uint64_t entry) {
  return static_cast<int32_t>(~static_cast<uint32_t>(entry));
}
__device__ inline uint32_t RankIn(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }

// First in every stage's kernel: reads what was staged, waits for the stage before, and lets the
// next one's CTAs start.
__device__ inline void FollowStage() {
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
}

// One request and KV head.
struct Choice {
  const RetrievalJob& job;
  RetrievalPlan plan;
  int32_t index, kv_head;

  __device__ Choice(const RetrievalJob& of, int32_t at)
      : job(of), plan(of.plans[at / of.page.kv_heads]), index(at), kv_head(at % of.page.kv_heads) {}

  __device__ int32_t distant() const { return plan.request.last - plan.request.first; }
  __device__ int32_t groups() const { return (distant() + kGroupBlocks - 1) / kGroupBlocks; }
  __device__ int32_t span() const { return min(plan.request.span_blocks, distant()); }
  // Every distant block is chosen, or none.
  __device__ bool ReadsNothing() const { return span() == distant() || span() == 0; }
  __device__ bool TwoStage() const { return plan.request.rule == memory::RetrievalRule::kTwoStage; }
  __device__ bool ByKeys() const { return plan.request.rule == memory::RetrievalRule::kExact; }
  __device__ bool ByCodes() const {
    return TwoStage() && plan.chunk.summary == memory::SummaryKind::kCodes;
  }
  __device__ bool BySummary() const { return !ByKeys() && !ByCodes(); }

  __device__ uint32_t* ranks() const {
    return job.ranks + plan.ranks_begin + int64_t{kv_head} * plan.rank_room;
  }
  __device__ uint32_t* group_ranks() const {
    return job.group_ranks + (plan.ranks_begin + int64_t{kv_head} * plan.rank_room) / kGroupBlocks;
  }
  __device__ ColumnFacts* columns() const {
    return job.columns + plan.columns_begin + int64_t{kv_head} * plan.column_room;
  }
  __device__ int32_t column_count() const { return plan.column_room; }
  __device__ int32_t* candidates() const {
    return job.candidates + plan.list_begin + int64_t{kv_head} * plan.list_room;
  }
  __device__ uint32_t* scores() const {
    return job.scores + plan.list_begin + int64_t{kv_head} * plan.list_room;
  }
  __device__ ChoiceState& state() const { return job.states[index]; }
  // Column c is query head c % q_group of row c / q_group.
  template <typename T>
  __device__ const T* Query(int32_t column) const {
    const int64_t row = plan.chunk.row_begin + column / job.q_group;
    const int32_t head = kv_head * job.q_group + column % job.q_group;
    return static_cast<const T*>(job.q) + row * job.q_stride + int64_t{head} * job.page.head_dim;
  }
  template <typename T>
  __device__ const T* Keys(int32_t block) const {
    return job.page.Keys<T>(plan.chunk.pages[block], kv_head);
  }
  __device__ void* Tile(int32_t block) const {
    return plan.chunk.tiles[block / memory::kTileBlocks];
  }
};

// Lists the first candidates: with the two-stage rule the best max(first_candidates, k) by
// bound, else the k best.
void PickCandidates(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

// After the first list's scores: settles what is proven, lists further candidates for the rest.
void WidenCandidates(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

// Settles everything that is left.
void SettleSpans(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_
