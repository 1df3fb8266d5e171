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
};

// Numbers of entries in the job's arrays, for all choices together.
struct Totals {
  int64_t ranks = 0, columns = 0, list = 0;
};

// Powers of two: addresses and grids stay as they are while histories grow.
int32_t RoomFor(int64_t blocks) {
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(blocks, 64))));
}

RetrievalPlan PlanOf(const RetrieveSpanParams& params, const RetrievalRequest& request,
                     Totals* totals) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  const int32_t kv_heads = params.layout.kv_heads;
  RetrievalPlan plan{.request = request,
                     .chunk = chunk,
                     .ranks_begin = totals->ranks,
                     .columns_begin = totals->columns,
                     .list_begin = totals->list};
  plan.rank_room = RoomFor(request.last - request.first);
  plan.column_room = static_cast<int32_t>(chunk.row_count * (params.q_heads / kv_heads));
  const bool two_stage = request.rule == memory::RetrievalRule::kTwoStage;
  const int32_t read = two_stage ? std::max(request.first_candidates, request.candidate_budget) : 0;
  plan.list_room = std::min(plan.rank_room, std::max(request.span_blocks, read));
  totals->ranks += int64_t{kv_heads} * plan.rank_room;
  totals->columns += int64_t{kv_heads} * plan.column_room;
  totals->list += int64_t{kv_heads} * plan.list_room;
  return plan;
}

void AddToShape(const RetrievalPlan& plan, RetrievalShape* shape) {
  const bool two_stage = plan.request.rule == memory::RetrievalRule::kTwoStage;
  const bool by_keys = plan.request.rule == memory::RetrievalRule::kExact;
  const bool by_codes = two_stage && plan.chunk.summary == memory::SummaryKind::kCodes;
  shape->columns = std::max<int64_t>(shape->columns, plan.column_room);
  shape->rank_room = std::max(shape->rank_room, plan.rank_room);
  shape->list_room = std::max(shape->list_room, plan.list_room);
  shape->two_stage |= two_stage;
  shape->by_keys |= by_keys;
  shape->by_codes |= by_codes;
  shape->by_summary |= !by_keys && !by_codes;
  shape->few_columns |= by_codes && plan.column_room <= kFewColumns;
  shape->many_columns |= by_codes && plan.column_room > kFewColumns;
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
                          room(totals.ranks, sizeof(uint32_t)) / kGroupBlocks,
                          room(totals.columns, sizeof(ColumnFacts)),
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
  job->group_ranks = static_cast<uint32_t*>(arrays[1]);
  job->columns = static_cast<ColumnFacts*>(arrays[2]);
  job->candidates = static_cast<int32_t*>(arrays[3]);
  job->scores = static_cast<uint32_t*>(arrays[4]);
  job->chosen = static_cast<int32_t*>(arrays[5]);
  job->states = static_cast<ChoiceState*>(arrays[6]);
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
  for (const RetrievalRequest& request : params.requests) {
    kept->plans.push_back(PlanOf(params, request, &totals));
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

  ScanDistantBlocks(job, shape, context);
  if (shape.by_keys) ScoreBlocks(job, shape, ScoredBlocks::kAllDistant, context);
  PickCandidates(job, shape, context);
  if (shape.two_stage) {
    ScoreBlocks(job, shape, ScoredBlocks::kFirstList, context);
    WidenCandidates(job, shape, context);
    ScoreBlocks(job, shape, ScoredBlocks::kSecondList, context);
  }
  SettleSpans(job, shape, context);
}

}  // namespace eidetic::cuda
