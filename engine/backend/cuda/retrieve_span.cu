#include "engine/backend/cuda/retrieve_span.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "engine/backend/cuda/exact_scores.h"
#include "engine/backend/cuda/span_choice.h"
#include "engine/backend/cuda/span_scan.h"

namespace eidetic::cuda {
namespace {

// What must live until Wait: an array is sent once as long as its address is the same, so the
// plans' memory must not go to another operation's before the flush.
struct Kept {
  std::vector<RetrievalPlan> plans;
  RetrievalCounters counters;
};

// Numbers of entries in the job's arrays, for all choices together.
struct Totals {
  int64_t ranks = 0, groups = 0, list = 0;
};

// Powers of two: addresses and grids stay as they are while histories grow.
int32_t RoomFor(int64_t blocks) {
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(blocks, 64))));
}

bool ByCodes(const RetrievalPlan& plan) {
  return plan.request.rule == memory::RetrievalRule::kTwoStage &&
         plan.chunk.summary == memory::SummaryKind::kCodes;
}

RetrievalPlan PlanOf(const RetrieveSpanParams& params, const RetrievalRequest& request) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  RetrievalPlan plan{.request = request, .chunk = chunk};
  plan.rank_room = RoomFor(request.last - request.first);
  plan.columns = static_cast<int32_t>(chunk.row_count * (params.q_heads / params.layout.kv_heads));
  return plan;
}

void AddToShape(RetrievalPlan* plan, RetrievalShape* shape) {
  const RetrievalRequest& request = plan->request;
  const bool by_codes = ByCodes(*plan);
  const bool by_keys = request.rule == memory::RetrievalRule::kExact;
  const bool few = by_codes && shape->matrix_units && shape->pairs_of_groups &&
                   plan->columns <= kFewColumns;
  // A budget that leaves nothing to widen with asks for no proof.
  plan->coarse_first = few && request.candidate_budget <= request.first_candidates &&
                       std::max(request.first_candidates, request.span_blocks) <= kCoarseBlocks &&
                       request.last - request.first >= kCoarseFrom;
  shape->rank_room = std::max(shape->rank_room, plan->rank_room);
  shape->two_stage |= request.rule == memory::RetrievalRule::kTwoStage;
  shape->by_keys |= by_keys;
  shape->by_summary |= !by_keys && !by_codes;
  shape->one_tile |= few && plan->columns <= kFewColumns / 2;
  shape->two_tiles |= few && plan->columns > kFewColumns / 2;
  shape->full |= few && !plan->coarse_first;
  shape->coarse_first |= plan->coarse_first;
  shape->many_columns |= by_codes && !few;
  if (by_codes && !few) shape->columns = std::max<int64_t>(shape->columns, plan->columns);
}

// Where a plan's parts of the arrays are, and who scans what.
void Place(const RetrievalShape& shape, int32_t kv_heads, RetrievalPlan* plan, Totals* totals) {
  const RetrievalRequest& request = plan->request;
  const int64_t distant = std::max(request.last - request.first, 1);
  const bool few = ByCodes(*plan) && shape.matrix_units && shape.pairs_of_groups &&
                   plan->columns <= kFewColumns;
  const int64_t runs = few ? shape.runs : 1;
  plan->run_blocks = static_cast<int32_t>(CeilDiv(distant, runs));
  plan->group_room = static_cast<int32_t>(
      runs * CeilDiv(CeilDiv(plan->rank_room, runs), int64_t{kGroupBlocks}));
  const bool two_stage = request.rule == memory::RetrievalRule::kTwoStage;
  const int32_t read = two_stage ? std::max(request.first_candidates, request.candidate_budget) : 0;
  plan->list_room = std::min(plan->rank_room, std::max({request.span_blocks, read,
                                                        plan->coarse_first ? kCoarseBlocks : 0}));
  plan->ranks_begin = totals->ranks;
  plan->groups_begin = totals->groups;
  plan->list_begin = totals->list;
  totals->ranks += int64_t{kv_heads} * plan->rank_room;
  totals->groups += int64_t{kv_heads} * plan->group_room;
  totals->list += int64_t{kv_heads} * plan->list_room;
}

// The fast kernels know these widths and load four numbers at once.
bool MatrixUnitsFit(const RetrieveSpanParams& params, Precision precision) {
  return precision == Precision::kBf16 &&
         (params.layout.head_dim == 64 || params.layout.head_dim == 128) &&
         reinterpret_cast<uintptr_t>(params.q) % 8 == 0 && params.q_stride % 4 == 0;
}

// Cuts the scratch into the job's arrays.
void PlaceArrays(const Totals& totals, int32_t choices, Context* context, RetrievalJob* job) {
  const auto room = [](int64_t count, size_t bytes) {
    return AlignedPart(std::bit_ceil(static_cast<size_t>(count)) * bytes);
  };
  const size_t parts[] = {room(totals.ranks, sizeof(uint32_t)),
                          room(totals.ranks, sizeof(uint32_t)),
                          room(totals.groups, sizeof(uint32_t)),
                          room(totals.groups, sizeof(uint32_t)),
                          room(totals.list, sizeof(int32_t)),
                          room(totals.list, sizeof(uint32_t)),
                          room(choices, job->max_span * sizeof(int32_t)),
                          room(choices, sizeof(ChoiceState))};
  size_t total = 0;
  for (size_t part : parts) total += AlignedPart(part);
  auto* next = static_cast<std::byte*>(context->scratch->Take(total));
  void* arrays[std::size(parts)];
  for (size_t i = 0; i < std::size(parts); ++i) {
    arrays[i] = next;
    next += AlignedPart(parts[i]);
  }
  job->ranks = static_cast<uint32_t*>(arrays[0]);
  job->estimates = static_cast<uint32_t*>(arrays[1]);
  job->group_ranks = static_cast<uint32_t*>(arrays[2]);
  job->group_estimates = static_cast<uint32_t*>(arrays[3]);
  job->candidates = static_cast<int32_t*>(arrays[4]);
  job->scores = static_cast<uint32_t*>(arrays[5]);
  job->chosen = static_cast<int32_t*>(arrays[6]);
  job->states = static_cast<ChoiceState*>(arrays[7]);
}

// Gives the job its counters, which Wait adds to `stats`; keeps `kept` until then.
void CountInto(RetrievalStats* stats, std::shared_ptr<Kept> kept, LaunchQueue* queue,
               RetrievalJob* job) {
  job->counters =
      static_cast<RetrievalCounters*>(queue->Result(&kept->counters, sizeof(RetrievalCounters)));
  queue->Finally([stats, kept = std::move(kept)] {
    if (stats == nullptr) return;
    stats->candidates_read += static_cast<int64_t>(kept->counters.candidates_read);
    stats->choices += static_cast<int64_t>(kept->counters.choices);
    stats->proven += static_cast<int64_t>(kept->counters.proven);
  });
}

}  // namespace

void RetrieveSpan(const RetrieveSpanParams& params, Context* context) {
  if (params.requests.empty()) return;
  auto kept = std::make_shared<Kept>();
  Totals totals;
  RetrievalShape shape;
  shape.choices = static_cast<int32_t>(params.requests.size()) * params.layout.kv_heads;
  shape.matrix_units = MatrixUnitsFit(params, context->precision);
  shape.pairs_of_groups = params.layout.block_size % 32 == 0;
  for (const RetrievalRequest& request : params.requests) {
    kept->plans.push_back(PlanOf(params, request));
    AddToShape(&kept->plans.back(), &shape);
  }
  shape.runs = ScanRunsFor(shape, *context);
  for (RetrievalPlan& plan : kept->plans) {
    Place(shape, params.layout.kv_heads, &plan, &totals);
    shape.list_room = std::max(shape.list_room, plan.list_room);
  }
  RetrievalJob job{.q = params.q,
                   .q_stride = params.q_stride,
                   .q_group = params.q_heads / params.layout.kv_heads,
                   .page = DevicePage(params.layout),
                   .codes = CodeLayout(params.layout),
                   .blocks = params.blocks,
                   .max_span = params.max_span};
  // First, since it may flush, and with that drop what was staged.
  PlaceArrays(totals, shape.choices, context, &job);
  job.plans = context->queue->Stage(std::span<const RetrievalPlan>(kept->plans));
  CountInto(params.stats, kept, context->queue, &job);

  ScanDistantBlocks(job, shape, context);
  if (shape.by_keys) ScoreBlocks(job, shape, ScoredBlocks::kAllDistant, context);
  if (shape.coarse_first) {
    PickCoarsely(job, shape, context);
    ScanListedBlocks(job, shape, context);
  }
  ChooseSpans(job, shape, context);
}

}  // namespace eidetic::cuda
