#include "engine/backend/cuda/span_choice.h"

#include <algorithm>

#include "engine/backend/cuda/entry_select.cuh"
#include "engine/backend/cuda/exact_scores.cuh"
#include "engine/backend/cuda/exact_scores.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = kSelectThreads;
// Entries that a CTA keeps in shared memory, 128 KB. More are read from memory in every pass:
// only histories beyond 512k tokens have so many, of which bounds are nearly all alike or more
// candidates are wanted than there are groups.
constexpr int32_t kMostEntries = 16384;

// Stages of ChooseSpansKernel, in their order.
enum Stage : uint32_t {
  kPickCoarse = 1,
  kPick = 2,
  kScoreFirst = 4,
  kWiden = 8,
  kScoreSecond = 16,
  kSettle = 32,
};

struct ChooseArgs {
  RetrievalJob job;
  int32_t entry_room;  // of the shared list
  uint32_t stages;
};

// What the stages of one CTA share.
struct Desk {
  Selector::Shared select;
  GroupBatch batch;
};

// The border of the `wanted` best of a choice's distant blocks.
// 1. As many groups as are wanted have a block of the border of their maxima's rank or better; so
//    no block below it is wanted, and groups without a better one are not read.
// 2. The best of what is left. Calls take(block) for each of them.
template <typename Take>
__device__ uint64_t TakeBest(const Choice& choice, int32_t wanted, Selector& selector, Desk* desk,
                             Take take) {
  uint64_t low = 0;
  if (choice.groups() > wanted) {
    const ListEntries groups{choice.group_order(), nullptr, choice.groups()};
    low = selector.Border(selector.Gather(groups), wanted) >> 32 << 32;
  }
  const auto entries = selector.Gather(
      RankEntries{choice, choice.order(), choice.group_order(), low, &desk->batch});
  const uint64_t border = selector.Border(entries, wanted);
  selector.Reset();
  entries.ForEach([&](uint64_t entry) {
    if (entry >= border) take(BlockOf(entry));
  });
  return border;
}

__device__ void Pick(const Choice& choice, Selector& selector, Desk* desk) {
  const RetrievalRequest& request = choice.plan.request;
  const int32_t wanted =
      choice.TwoStage() ? max(request.first_candidates, request.span_blocks) : request.span_blocks;
  int32_t* candidates = choice.candidates();
  const auto take = [&](int32_t block) { candidates[selector.Append()] = block; };
  uint64_t border = 0;
  if (wanted >= choice.distant()) {
    for (int32_t i = threadIdx.x; i < choice.distant(); i += kThreads) {
      candidates[i] = request.first + i;
    }
  } else if (choice.plan.coarse_first) {
    // Of the blocks listed already.
    const ListEntries listed{choice.scores(), candidates, choice.state().first_count};
    const auto entries = selector.Gather(listed);
    const uint64_t of_listed = selector.Border(entries, min(wanted, listed.count));
    selector.Reset();
    entries.ForEach([&](uint64_t entry) {
      if (entry >= of_listed) take(BlockOf(entry));
    });
  } else {
    border = TakeBest(choice, wanted, selector, desk, take);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    const int32_t count = min(wanted, choice.distant());
    choice.state() = {border, 0, count, count, 0};
  }
}

__device__ void PickCoarse(const Choice& choice, Selector& selector, Desk* desk) {
  TakeBest(choice, kCoarseBlocks, selector, desk,
           [&](int32_t block) { choice.candidates()[selector.Append()] = block; });
  if (threadIdx.x == 0) choice.state() = {0, 0, kCoarseBlocks, kCoarseBlocks, 0};
}

struct Outcome {
  int32_t read;
  bool proven;
};

// Writes `chosen`'s blocks ascending: a block's place is the number of lower ones.
__device__ void Finish(const Choice& choice, Outcome outcome) {
  const RetrievalJob& job = choice.job;
  const int32_t count = choice.span();
  const int32_t* chosen = job.chosen + int64_t{choice.index} * job.max_span;
  int32_t* out = job.blocks + int64_t{choice.index} * job.max_span;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < count; i += kThreads) {
    int32_t place = 0;
    for (int32_t j = 0; j < count; ++j) place += chosen[j] < chosen[i] ? 1 : 0;
    out[place] = chosen[i];
  }
  for (int32_t i = count + threadIdx.x; i < job.max_span; i += kThreads) out[i] = -1;
  if (threadIdx.x != 0) return;
  choice.state().done = 1;
  atomicAdd(&job.counters->candidates_read, outcome.read);
  atomicAdd(&job.counters->choices, 1);
  atomicAdd(&job.counters->proven, outcome.proven ? 1 : 0);
}

// Puts the k best of the first `count` candidates into `chosen`; the rank of the last of them.
__device__ uint32_t ChooseBest(const Choice& choice, int32_t count, Selector& selector) {
  const auto entries = selector.Gather(ListEntries{choice.scores(), choice.candidates(), count});
  const uint64_t border = count > choice.span() ? selector.Border(entries, choice.span()) : 0;
  int32_t* chosen = choice.job.chosen + int64_t{choice.index} * choice.job.max_span;
  selector.Reset();
  entries.ForEach([&](uint64_t entry) {
    if (entry < border) return;
    chosen[selector.Append()] = BlockOf(entry);
    selector.KeepLowest(RankIn(entry));
  });
  __syncthreads();
  return selector.lowest();
}

// 1. The k best of the first list. What was not read and has a bound that reaches the last of
//    them may be better: none is a proof. Without a budget for more nobody asked for one.
// 2. Else the best of those, as many as the budget has left, are the second list.
__device__ void Widen(const Choice& choice, Selector& selector, Desk* desk) {
  const ChoiceState state = choice.state();
  const int32_t left = choice.plan.request.candidate_budget - state.first_count;
  const uint32_t last = ChooseBest(choice, state.first_count, selector);
  const bool all = state.first_count == choice.distant();
  if (left <= 0 || all) return Finish(choice, {state.first_count, all});
  const auto rivals =
      selector.Gather(RivalEntries{choice, uint64_t{last} << 32, state.border, &desk->batch});
  const int32_t found = static_cast<int32_t>(rivals.count), taken = min(found, left);
  if (taken == 0) return Finish(choice, {state.first_count, true});
  const uint64_t border = taken < found ? selector.Border(rivals, taken) : 0;
  int32_t* second = choice.candidates() + state.first_count;
  selector.Reset();
  rivals.ForEach([&](uint64_t entry) {
    if (entry >= border) {
      second[selector.Append()] = BlockOf(entry);
    } else {
      selector.KeepHighest(RankIn(entry));
    }
  });
  __syncthreads();
  if (threadIdx.x == 0) {
    choice.state() = {state.border, selector.highest(), state.first_count,
                      state.first_count + taken, 0};
  }
}

// The k best of both lists, proven when no bound that was left out reaches the last of them;
// or what was picked by another rule; or all blocks.
__device__ void Settle(const Choice& choice, Selector& selector) {
  int32_t* chosen = choice.job.chosen + int64_t{choice.index} * choice.job.max_span;
  if (choice.ReadsNothing()) {
    for (int32_t i = threadIdx.x; i < choice.span(); i += kThreads) {
      chosen[i] = choice.plan.request.first + i;
    }
    return Finish(choice, {0, true});
  }
  if (!choice.TwoStage()) {
    for (int32_t i = threadIdx.x; i < choice.span(); i += kThreads) {
      chosen[i] = choice.candidates()[i];
    }
    return Finish(choice, {choice.ByKeys() ? choice.distant() : 0, choice.ByKeys()});
  }
  const ChoiceState state = choice.state();
  if (state.done) return;
  const uint32_t last = ChooseBest(choice, state.count, selector);
  Finish(choice, {state.count, state.left_out < last});
}

// A warp a block of the list [begin, end), over all CTAs of the cluster.
template <int kSteps>
__device__ void ScoreList(const Choice& choice, int32_t begin, int32_t end, int32_t cta,
                          int32_t ctas) {
  constexpr int32_t kWarps = kThreads / 32;
  for (int32_t i = begin + threadIdx.x / 32 * ctas + cta; i < end; i += kWarps * ctas) {
    const float best = ScoreBlock<kSteps>(choice, choice.candidates()[i]);
    const uint32_t rank = __reduce_max_sync(~0u, RankOf(best));
    if (threadIdx.x % 32 == 0) choice.scores()[i] = rank;
  }
}

// A cluster of kCtas takes a choice from ranks to its span. Its first CTA lists and settles, all
// of them score: what one launch a stage would take is spent in waiting for launches.
// kSteps: of the matrix units; 0: the scoring stages are other launches.
template <int kSteps, int kCtas>
__global__ void __cluster_dims__(kCtas, 1, 1) __launch_bounds__(kThreads, 1)
    ChooseSpansKernel(const ChooseArgs args) {
  extern __shared__ uint64_t list[];
  __shared__ Desk desk;
  const int32_t cta = blockIdx.x % kCtas;
  const Choice choice(args.job, blockIdx.x / kCtas);
  FollowStage();
  Selector selector(&desk.select, list, args.entry_room);
  const bool reads = !choice.ReadsNothing(), two_stage = reads && choice.TwoStage();
  // A stage of the first CTA, between barriers of all of them.
  const auto alone = [&](Stage stage, bool wanted, auto work) {
    if ((args.stages & stage) == 0) return;
    if (wanted && cta == 0) work();
    if constexpr (kCtas > 1) {
      cooperative_groups::this_cluster().sync();
    } else {
      __syncthreads();
    }
  };
  const auto score = [&](Stage stage, bool first) {
    if constexpr (kSteps > 0) {
      if ((args.stages & stage) == 0) return;
      const ChoiceState state = choice.state();
      if (two_stage && !state.done) {
        ScoreList<kSteps>(choice, first ? 0 : state.first_count,
                          first ? state.first_count : state.count, cta, kCtas);
      }
      if constexpr (kCtas > 1) {
        cooperative_groups::this_cluster().sync();
      } else {
        __syncthreads();
      }
    }
  };
  alone(kPickCoarse, two_stage && choice.plan.coarse_first,
        [&] { PickCoarse(choice, selector, &desk); });
  alone(kPick, reads, [&] { Pick(choice, selector, &desk); });
  score(kScoreFirst, true);
  alone(kWiden, two_stage, [&] { Widen(choice, selector, &desk); });
  score(kScoreSecond, false);
  if ((args.stages & kSettle) != 0 && cta == 0) Settle(choice, selector);
}

template <int kSteps, int kCtas>
void Launch(uint32_t stages, const RetrievalJob& job, const RetrievalShape& shape,
            Context* context) {
  const int32_t room = std::min(shape.rank_room, kMostEntries);
  context->queue->Launch(ChooseSpansKernel<kSteps, kCtas>, dim3(shape.choices * kCtas),
                         dim3(kThreads), room * sizeof(uint64_t), ChooseArgs{job, room, stages},
                         Overlap::kPrologue);
}

// As many CTAs a choice as the device has multiprocessors for.
template <int kSteps>
void ChooseAtOnce(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  constexpr uint32_t kStages = kPick | kScoreFirst | kWiden | kScoreSecond | kSettle;
  const int32_t share = context->processors / shape.choices;
  const auto launch = share >= 8   ? Launch<kSteps, 8>
                      : share >= 4 ? Launch<kSteps, 4>
                      : share >= 2 ? Launch<kSteps, 2>
                                   : Launch<kSteps, 1>;
  launch(kStages, job, shape, context);
}

}  // namespace

void PickCoarsely(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  Launch<0, 1>(kPickCoarse, job, shape, context);
}

void ChooseSpans(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  const bool scores_much = shape.many_columns || shape.by_summary;
  if (shape.two_stage && shape.matrix_units && !scores_much) {
    return job.page.head_dim == 64 ? ChooseAtOnce<4>(job, shape, context)
                                   : ChooseAtOnce<8>(job, shape, context);
  }
  // Many columns keep all multiprocessors busy with one list: a launch a stage.
  Launch<0, 1>(shape.two_stage ? kPick : kPick | kSettle, job, shape, context);
  if (!shape.two_stage) return;
  ScoreBlocks(job, shape, ScoredBlocks::kFirstList, context);
  Launch<0, 1>(kWiden, job, shape, context);
  ScoreBlocks(job, shape, ScoredBlocks::kSecondList, context);
  Launch<0, 1>(kSettle, job, shape, context);
}

}  // namespace eidetic::cuda
