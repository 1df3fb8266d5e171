// The last stages of retrieval: picks candidates by rank, then settles on the span.
//
// What: the job that all stages of RetrieveSpan share, and the launcher of its choosing
//   stages. A choice is one request and one KV head; blocks are counted from its first
//   distant block on. A score's rank is a number that orders as scores do; an entry is a rank
//   and a block, all different, the better one larger: ties go to the lower block.
// Thread safety: as LaunchQueue; Choice is device code, the same in all threads.
// Ownership: borrows everything; the job's arrays lie in the operation's scratch.
// Preconditions: the stages run in the order of RetrieveSpan.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_

#include <algorithm>
#include <type_traits>

#include "engine/backend/cuda/key_codes.cuh"

namespace eidetic::cuda {

// Ranks come with their maximum over every so many blocks, so that choosing need not read all.
inline constexpr int32_t kGroupBlocks = 64;
// The fast kernels know blocks of this size.
inline constexpr int32_t kFastBlock = 32;
// Up to so many columns (rows times query heads) are few: scanning is bound by memory.
inline constexpr int32_t kFewColumns = 8;
// Blocks that a partial scan leaves: the first candidates' number, or so large a part if that is
// more.
inline constexpr int32_t kKeptPart = 64;
// Where only this part of the first candidates' number is left beyond them, all are read.
inline constexpr int32_t kFewMore = 2;  // a half
// Groups of one CTA where columns are few.
inline constexpr int32_t kMostRunGroups = 16;
// Bins in which the partial scan counts blocks.
inline constexpr int32_t kPartialBins = 2048;

// A request as the kernels read it: staged, since it changes from step to step.
struct RetrievalPlan {
  RetrievalRequest request;
  AttentionChunk chunk;
  // Where its parts of the job's arrays begin, and how large they are for one KV head.
  int64_t ranks_begin = 0, list_begin = 0, partial_begin = 0;
  int32_t rank_room = 0, list_room = 0;
  int32_t columns = 0;   // query heads of a KV head times rows
  bool few = false;      // by codes and by matrix units, with up to kFewColumns columns
  bool partial = false;  // few, and a partial scan comes first
};

struct ChoiceState {
  uint64_t border;      // entries from here on, as blocks were ordered, are on the
                        // first list
  uint32_t left_out;    // the best rank that the budget left unread; 0: none
  int32_t first_count;  // candidates on the first list
  int32_t count;        // on both
  int32_t done;
};

struct RetrievalCounters {
  unsigned long long candidates_read = 0, choices = 0, proven = 0;
};

// Blocks that choices wanted and that have no page yet.
struct LateList {
  static constexpr uint32_t kMost = 4096;  // that are told; who wants more asks again
  uint32_t count;                          // with those that are not told
  LateBlock blocks[kMost];
};

// What the partial scan of a choice asks for: whole numbers near the queries' largest channels.
struct PartialQuery {
  static constexpr int32_t kMostChannels = 128;
  int32_t channels;  // a multiple of 16; those beyond the wanted ones have weight 0
  int32_t channel[kMostChannels];
  int32_t weight[kFewColumns][kMostChannels];
  uint32_t start[kFewColumns];  // of the sums: what keeps them from falling
                                // below zero
  float offset[kFewColumns];    // what start and codes + 7.5 add to them
  float unit[kFewColumns],
      shift[kFewColumns];  // a column's score is unit * sum + shift
};

// Arguments of every stage's kernels.
struct RetrievalJob {
  const RetrievalPlan* plans;  // [requests]
  const void* q;
  int64_t q_stride;
  int32_t q_group;  // query heads a KV head
  DevicePage page;
  CodeLayout codes;
  uint32_t* ranks;            // a choice's [rank_room]: of bounds, or of scores
  uint32_t* estimates;        // of few columns, [rank_room]: of estimates, or of scores
  uint32_t* group_ranks;      // maxima of ranks, [rank_room / kGroupBlocks]
  uint32_t* group_estimates;  // maxima of estimates
  PartialQuery* partials;     // of choices with a partial scan
  uint32_t* bins;             // their [kPartialBins]
  int32_t* candidates;        // [list_room], block numbers
  uint32_t* scores;           // their ranks, [list_room]
  int32_t* chosen;            // [choices][max_span], unordered
  ChoiceState* states;        // [choices]
  int32_t* blocks;            // [choices][max_span]
  int32_t max_span;
  RetrievalCounters* counters;
  LateList* late;          // null: every block has its page
  uint32_t* late_choices;  // [choices]: not 0 where a page was missing
};

// What the host knows of a job: the sizes of grids, and which stages it needs.
struct RetrievalShape {
  int32_t choices = 0;
  int64_t columns = 0;  // of the longest chunk that has many
  int32_t rank_room = 0, list_room = 0;
  bool matrix_units = false;  // bf16, aligned, of a head_dim that the fast kernels know
  bool fast_codes = false;    // the same, and blocks of a size that they know
  bool by_summary = false, by_keys = false, two_stage = false;
  // By codes and not read whole anyway: with few columns, of all channels at once or of some first;
  // with many, or not by matrix units.
  bool few_full = false, few_partial = false, many_columns = false;
  bool all_partial = true;      // every choice goes by a partial scan
  bool scores_much = false;     // exact scores of many columns
  int32_t partial_columns = 0;  // the most of a partial scan
};

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
  const RetrievalPlan& plan;  // where it was staged: a copy would fill the fast
                              // kernels' registers
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
  // Candidates of the first list. Few more are read at once: a scan takes longer than they do.
  __device__ int32_t wanted() const {
    const int32_t k = plan.request.span_blocks;
    if (!TwoStage()) return min(k, distant());
    const int32_t first = max(plan.request.first_candidates, k);
    return distant() - first <= first / kFewMore ? distant() : first;
  }
  // Blocks need ranks: not all of them are candidates anyway.
  __device__ bool IsScanned() const {
    return !ReadsNothing() && (!TwoStage() || wanted() < distant());
  }

  __device__ int64_t ranks_at() const {
    return plan.ranks_begin + int64_t{kv_head} * plan.rank_room;
  }
  __device__ uint32_t* ranks() const { return job.ranks + ranks_at(); }
  __device__ uint32_t* estimates() const { return job.estimates + ranks_at(); }
  __device__ uint32_t* group_ranks() const { return job.group_ranks + ranks_at() / kGroupBlocks; }
  __device__ uint32_t* group_estimates() const {
    return job.group_estimates + ranks_at() / kGroupBlocks;
  }
  // The partial scan's scores, in the place of ranks: it leaves no bounds.
  __device__ float* partial_scores() const { return reinterpret_cast<float*>(ranks()); }
  __device__ PartialQuery& partial() const { return job.partials[plan.partial_begin + kv_head]; }
  __device__ uint32_t* bins() const {
    return job.bins + (plan.partial_begin + kv_head) * kPartialBins;
  }
  // The blocks that a partial scan leaves, in the place of estimates.
  __device__ int32_t* kept() const { return reinterpret_cast<int32_t*>(estimates()); }
  // What the first candidates are picked by.
  __device__ const uint32_t* order() const { return plan.few ? estimates() : ranks(); }
  __device__ const uint32_t* group_order() const {
    return plan.few ? group_estimates() : group_ranks();
  }
  __device__ int32_t column_count() const { return plan.columns; }
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
  // Of a block without a page, the first distant block's, so that the step can go on.
  template <typename T>
  __device__ const T* Keys(int32_t block) const {
    void* page = plan.chunk.pages[block];
    if (page == nullptr) page = plan.chunk.pages[StandIn(block)];
    return job.page.Keys<T>(page, kv_head);
  }
  // `block`, or what stands in for it until it has come.
  __device__ int32_t There(int32_t block) const {
    const bool there = job.late == nullptr || plan.chunk.pages[block] != nullptr;
    return there ? block : StandIn(block);
  }
  // Tells that `block`, which has no page, is wanted.
  __device__ int32_t StandIn(int32_t block) const {
    // Lanes often ask for the same one.
    const uint32_t same = __match_any_sync(__activemask(), block);
    if (__ffs(same) - 1 == static_cast<int32_t>(threadIdx.x % 32)) {
      job.late_choices[index] = 1;
      const uint32_t at = atomicAdd(&job.late->count, 1u);
      if (at < LateList::kMost) job.late->blocks[at] = {plan.request.chunk, block};
    }
    return plan.request.first;
  }
  // A block that was scored had no page.
  __device__ bool Missed() const { return job.late != nullptr && job.late_choices[index] != 0; }
  __device__ void* Tile(int32_t block) const {
    return plan.chunk.tiles[block / memory::kTileBlocks];
  }
  // Of one block's KV head.
  __device__ std::byte* Codes(int32_t block) const { return job.codes.Head(Tile(block), kv_head); }
};

// Groups of one CTA where columns are few: as many as leave so many CTAs a multiprocessor, to even
// out the end.
inline int64_t RunGroups(const RetrievalShape& shape, const Context& context, int64_t ctas) {
  const int64_t groups = int64_t{shape.rank_room / kGroupBlocks} * shape.choices;
  return std::clamp<int64_t>(CeilDiv(groups, context.processors * ctas), 1, kMostRunGroups);
}

// Calls launch(std::integral_constant<int, n>) with as many CTAs a choice as the device has room
// for, two a multiprocessor.
template <typename LaunchOf>
void ForClusterSize(int32_t choices, const Context& context, LaunchOf launch) {
  const int32_t share = 2 * context.processors / choices;
  if (share >= 8) return launch(std::integral_constant<int, 8>());
  if (share >= 4) return launch(std::integral_constant<int, 4>());
  if (share >= 2) return launch(std::integral_constant<int, 2>());
  launch(std::integral_constant<int, 1>());
}

// Of choices that do not go by a partial scan. From ranks to spans: lists the first candidates
// (with the two-stage rule the best max(first_candidates, k) as blocks are ordered, else the k
// best), scores them, settles what is proven or needs no proof, lists and scores further candidates
// for the rest, settles that.
void ChooseSpans(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_CHOICE_H_
