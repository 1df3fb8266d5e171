#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "engine/backend/cuda/exact_scores.h"
#include "engine/backend/cuda/retrieve_span.h"
#include "engine/backend/cuda/span_choice.h"
#include "engine/backend/cuda/span_scan.h"

namespace eidetic::cuda {
namespace {

// What must live until Wait: an array is sent once as long as its address is the same, so the
// plans' memory must not go to another operation's before the flush.
struct Kept {
  std::vector<RetrievalPlan> plans;
  RetrievalCounters counters;
  std::vector<std::byte> late;  // LateList, then late_choices
};

// Numbers of entries in the job's arrays, for all choices together.
struct Totals {
  int64_t ranks = 0, list = 0, partials = 0;
};

// Powers of two: addresses and grids stay as they are while histories grow.
int32_t RoomFor(int64_t blocks) {
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(blocks, 64))));
}

bool IsTwoStage(const RetrievalPlan& plan) {
  return plan.request.rule == memory::RetrievalRule::kTwoStage;
}
bool IsByCodes(const RetrievalPlan& plan) {
  return IsTwoStage(plan) && plan.chunk.summary == memory::SummaryKind::kCodes;
}
// As Choice::IsScanned.
bool IsScanned(const RetrievalPlan& plan) {
  const RetrievalRequest& request = plan.request;
  const int32_t distant = request.last - request.first;
  if (request.span_blocks == 0 || request.span_blocks >= distant) return false;
  const int32_t first = std::max(request.first_candidates, request.span_blocks);
  return !IsTwoStage(plan) || distant - first > first / kFewMore;
}

RetrievalPlan PlanOf(const RetrieveSpanParams& params, const RetrievalRequest& request,
                     const RetrievalShape& shape, Totals* totals) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  const int32_t kv_heads = params.layout.kv_heads, distant = request.last - request.first;
  RetrievalPlan plan{.request = request,
                     .chunk = chunk,
                     .ranks_begin = totals->ranks,
                     .list_begin = totals->list,
                     .partial_begin = totals->partials};
  plan.rank_room = RoomFor(distant);
  plan.columns = static_cast<int32_t>(chunk.row_count * (params.q_heads / kv_heads));
  plan.few = shape.fast_codes && IsByCodes(plan) && plan.columns <= kFewColumns;
  plan.partial = plan.few && IsScanned(plan) && distant > kPartialScanFrom &&
                 request.scan_channels > 0 && request.scan_channels < params.layout.head_dim;
  const int32_t read =
      IsTwoStage(plan) ? std::max(request.first_candidates, request.candidate_budget) : 0;
  // As Choice::wanted, few more may be read.
  const int32_t first = std::max(request.span_blocks, request.first_candidates);
  plan.list_room = std::min(plan.rank_room, std::max(first + first / kFewMore, read));
  totals->ranks += int64_t{kv_heads} * plan.rank_room;
  totals->list += int64_t{kv_heads} * plan.list_room;
  totals->partials += plan.partial ? kv_heads : 0;
  return plan;
}

void AddToShape(const RetrievalPlan& plan, RetrievalShape* shape) {
  const bool by_keys = plan.request.rule == memory::RetrievalRule::kExact;
  const bool by_codes = IsByCodes(plan), scanned = IsScanned(plan);
  const bool many = by_codes && scanned && !plan.few;
  shape->rank_room = std::max(shape->rank_room, plan.rank_room);
  shape->list_room = std::max(shape->list_room, plan.list_room);
  shape->two_stage |= IsTwoStage(plan);
  shape->by_keys |= by_keys;
  shape->by_summary |= !by_keys && !by_codes && scanned;
  shape->few_full |= plan.few && scanned && !plan.partial;
  shape->few_partial |= plan.partial;
  shape->all_partial &= plan.partial;
  shape->many_columns |= many;
  shape->scores_much |= IsTwoStage(plan) && plan.columns > kFewColumns;
  if (many) shape->columns = std::max<int64_t>(shape->columns, plan.columns);
  if (plan.partial) shape->partial_columns = std::max(shape->partial_columns, plan.columns);
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
                          room(totals.ranks, sizeof(uint32_t)) / kGroupBlocks,
                          room(totals.ranks, sizeof(uint32_t)) / kGroupBlocks,
                          room(totals.partials, sizeof(PartialQuery)),
                          room(totals.partials, kPartialBins * sizeof(uint32_t)),
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
  job->partials = static_cast<PartialQuery*>(arrays[4]);
  job->bins = static_cast<uint32_t*>(arrays[5]);
  job->candidates = static_cast<int32_t*>(arrays[6]);
  job->scores = static_cast<uint32_t*>(arrays[7]);
  job->chosen = static_cast<int32_t*>(arrays[8]);
  job->states = static_cast<ChoiceState*>(arrays[9]);
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

// Gives the job its list of late blocks, which Wait adds to `late`; keeps `kept` until then.
void ListInto(std::vector<LateBlock>* late, std::shared_ptr<Kept> kept, int32_t choices,
              LaunchQueue* queue, RetrievalJob* job) {
  kept->late.resize(sizeof(LateList) + choices * sizeof(uint32_t));
  job->late = static_cast<LateList*>(queue->Result(kept->late.data(), kept->late.size()));
  job->late_choices = reinterpret_cast<uint32_t*>(job->late + 1);
  queue->Finally([late, kept = std::move(kept)] {
    const auto* list = reinterpret_cast<const LateList*>(kept->late.data());
    const uint32_t count = std::min(list->count, LateList::kMost);
    late->insert(late->end(), list->blocks, list->blocks + count);
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
  shape.fast_codes = shape.matrix_units && params.layout.block_size == kFastBlock;
  for (const RetrievalRequest& request : params.requests) {
    kept->plans.push_back(PlanOf(params, request, shape, &totals));
    AddToShape(kept->plans.back(), &shape);
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
  if (params.late != nullptr) ListInto(params.late, kept, shape.choices, context->queue, &job);

  ScanDistantBlocks(job, shape, context);
  if (shape.by_keys) ScoreBlocks(job, shape, ScoredBlocks::kAllDistant, context);
  if (!shape.all_partial) ChooseSpans(job, shape, context);
}

}  // namespace eidetic::cuda
