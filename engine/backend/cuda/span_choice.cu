#include <algorithm>

#include "engine/backend/cuda/entry_select.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {
namespace {

// One CTA a choice.
constexpr int32_t kThreads = kSelectThreads;
// Entries that a CTA keeps in shared memory, 128 KB. More are read from memory in every pass:
// only histories beyond 512k tokens have so many, of which bounds are nearly all alike or more
// candidates are wanted than there are groups.
constexpr int32_t kMostEntries = 16384;

struct SelectArgs {
  RetrievalJob job;
  int32_t entry_room;  // of the shared list
};

// 1. Few enough blocks are all candidates.
// 2. As many groups as candidates are wanted have a block of the border of their maxima's rank or
//    better; so no block below it is wanted, and groups without a better one are not read.
// 3. The best of what is left.
__global__ void __launch_bounds__(kThreads, 1) PickKernel(const SelectArgs args) {
  extern __shared__ uint64_t list[];
  __shared__ Selector::Shared shared;
  const Choice choice(args.job, blockIdx.x);
  FollowStage();
  if (choice.ReadsNothing()) return;
  const RetrievalRequest& request = choice.plan.request;
  const int32_t wanted =
      choice.TwoStage() ? max(request.first_candidates, request.span_blocks) : request.span_blocks;
  Selector selector(&shared, list, args.entry_room);
  uint64_t border = 0;
  if (wanted < choice.distant()) {
    uint64_t low = 0;
    if (choice.groups() > wanted) {
      low = selector.Border(selector.Gather(GroupEntries{choice}), wanted) >> 32 << 32;
    }
    const auto entries = selector.Gather(BoundEntries{choice, low, ~uint64_t{0}});
    border = selector.Border(entries, wanted);
    selector.Reset();
    entries.ForEach([&](uint64_t entry) {
      if (entry >= border) choice.candidates()[selector.Append()] = BlockOf(entry);
    });
  } else {
    for (int32_t i = threadIdx.x; i < choice.distant(); i += kThreads) {
      choice.candidates()[i] = request.first + i;
    }
  }
  if (threadIdx.x == 0) {
    const int32_t count = min(wanted, choice.distant());
    choice.state() = {border, 0, count, count, 0};
  }
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
  const auto entries = selector.Gather(ScoreEntries{choice, count});
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
//    them may be better: none is a proof.
// 2. Else the best of those, as many as the budget has left, are the second list.
__global__ void __launch_bounds__(kThreads, 1) WidenKernel(const SelectArgs args) {
  extern __shared__ uint64_t list[];
  __shared__ Selector::Shared shared;
  const Choice choice(args.job, blockIdx.x);
  FollowStage();
  if (choice.ReadsNothing() || !choice.TwoStage()) return;
  const ChoiceState state = choice.state();
  Selector selector(&shared, list, args.entry_room);
  const uint32_t last = ChooseBest(choice, state.first_count, selector);
  const auto rivals = selector.Gather(BoundEntries{choice, uint64_t{last} << 32, state.border});
  const int32_t found = static_cast<int32_t>(rivals.count);
  const int32_t taken = min(found, choice.plan.request.candidate_budget - state.first_count);
  if (taken <= 0) return Finish(choice, {state.first_count, found == 0});
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
__global__ void __launch_bounds__(kThreads, 1) SettleKernel(const SelectArgs args) {
  extern __shared__ uint64_t list[];
  __shared__ Selector::Shared shared;
  const Choice choice(args.job, blockIdx.x);
  FollowStage();
  int32_t* chosen = args.job.chosen + int64_t{choice.index} * args.job.max_span;
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
  Selector selector(&shared, list, args.entry_room);
  const uint32_t last = ChooseBest(choice, state.count, selector);
  Finish(choice, {state.count, state.left_out < last});
}

void Launch(void (*kernel)(SelectArgs), const RetrievalJob& job, const RetrievalShape& shape,
            Context* context) {
  const int32_t room = std::min(shape.rank_room, kMostEntries);
  context->queue->Launch(kernel, dim3(shape.choices), dim3(kThreads), room * sizeof(uint64_t),
                         SelectArgs{job, room}, Overlap::kPrologue);
}

}  // namespace

void PickCandidates(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  Launch(PickKernel, job, shape, context);
}

void WidenCandidates(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  Launch(WidenKernel, job, shape, context);
}

void SettleSpans(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  Launch(SettleKernel, job, shape, context);
}

}  // namespace eidetic::cuda
