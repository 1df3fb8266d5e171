// The steps by which one CTA settles a choice: lists candidates, widens, puts the span in order.
//
// What: device code between the stages that score.
// Thread safety: a whole CTA of kSelectThreads calls everything together.
// Ownership: borrows everything; Desk lies in shared memory.
// Preconditions: ranks are written, and candidates' scores where a function takes them.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_WORK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_WORK_CUH_

#include "engine/backend/cuda/entry_select.cuh"

namespace eidetic::cuda {

// What the stages of one CTA share; its lists stand behind it.
struct alignas(16) Desk {
  static constexpr int32_t kMostChosen = 1024;
  Selector::Shared select;
  ChoiceState state;
  int32_t chosen[kMostChosen];  // of a span that is no longer
};

// One choice and the CTA that settles it.
struct Work {
  const Choice& choice;
  Selector& selector;
  Desk& desk;
};

// All CTAs of a choice have come here.
template <int kCtas>
__device__ void SyncCluster() {
  if constexpr (kCtas > 1) {
    cooperative_groups::this_cluster().sync();
  } else {
    __syncthreads();
  }
}

// Calls take(block) for the `wanted` best of a choice's distant blocks; the entry from which on
// those are all, not 0 where others are left.
// 1. As many groups as are wanted have a block of the border of their maxima's rank or better; so
//    no block below it is wanted, and groups without a better one are not read.
// 2. The best of what is left.
template <typename Take>
__device__ uint64_t TakeBest(const Work& work, int32_t wanted, Take take) {
  const Choice& choice = work.choice;
  uint64_t low = 0;
  if (choice.groups() > wanted) {
    const auto groups =
        work.selector.Gather(ListEntries{choice.group_order(), nullptr, choice.groups()});
    low = max(low, work.selector.Border(groups, wanted) >> 32 << 32);
  }
  const auto entries =
      work.selector.Gather(RankEntries{choice, choice.order(), choice.group_order(), low});
  const uint64_t border = work.selector.Border(entries, wanted);
  work.selector.Reset();
  entries.ForEach([&](uint64_t entry) {
    if (entry >= border) take(BlockOf(entry));
  });
  __syncthreads();
  // No border where all that reach `low` were wanted: each in a group of its own.
  return max(border, low);
}

// Lists the first candidates. Where all blocks are, no list is needed.
__device__ inline void PickFirst(const Work& work) {
  const Choice& choice = work.choice;
  uint64_t border = 0;
  if (choice.IsScanned() && choice.wanted() < choice.distant()) {
    int32_t* candidates = choice.candidates();
    border = TakeBest(work, choice.wanted(),
                      [&](int32_t block) { candidates[work.selector.Append()] = block; });
  }
  if (threadIdx.x == 0) work.desk.state = {border, 0, choice.wanted(), choice.wanted(), 0};
}

// Candidate i's block.
__device__ inline int32_t Candidate(const Choice& choice, int32_t i) {
  return choice.IsScanned() ? choice.candidates()[i] : choice.plan.request.first + i;
}

struct Outcome {
  int32_t read;
  bool proven;
};

// Where a choice's blocks are kept until they are put in order.
__device__ inline int32_t* Chosen(const Work& work) {
  const Choice& choice = work.choice;
  return choice.span() <= Desk::kMostChosen
             ? work.desk.chosen
             : choice.job.chosen + int64_t{choice.index} * choice.job.max_span;
}

// Writes the chosen blocks ascending: a block's place is the number of lower ones.
__device__ inline void Finish(const Work& work, Outcome outcome) {
  const RetrievalJob& job = work.choice.job;
  const int32_t count = work.choice.span();
  const int32_t* chosen = Chosen(work);
  int32_t* out = job.blocks + int64_t{work.choice.index} * job.max_span;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < count; i += kSelectThreads) {
    int32_t place = 0;
    for (int32_t j = 0; j < count; ++j) place += chosen[j] < chosen[i] ? 1 : 0;
    out[place] = work.choice.There(chosen[i]);
  }
  for (int32_t i = count + threadIdx.x; i < job.max_span; i += kSelectThreads) out[i] = -1;
  if (threadIdx.x != 0) return;
  work.desk.state.done = 1;
  atomicAdd(&job.counters->candidates_read, outcome.read);
  atomicAdd(&job.counters->choices, 1);
  atomicAdd(&job.counters->proven, outcome.proven ? 1 : 0);
}

// Puts the k best of the candidates' scores into `chosen`; the rank of the last of them.
template <typename Scores>
__device__ uint32_t ChooseBest(const Work& work, const Scores& scores) {
  const uint64_t border = work.selector.Border(scores, work.choice.span());
  int32_t* chosen = Chosen(work);
  work.selector.Reset();
  scores.ForEach([&](uint64_t entry) {
    if (entry < border) return;
    chosen[work.selector.Append()] = BlockOf(entry);
    work.selector.KeepLowest(RankIn(entry));
  });
  __syncthreads();
  return work.selector.lowest();
}

// All but choices of which candidates are to be scored yet.
__device__ inline bool ByRanks(const Choice& choice) {
  return choice.ReadsNothing() || !choice.TwoStage();
}

// Every block or none is chosen, or the best by rank.
__device__ inline void FinishByRanks(const Work& work) {
  const Choice& choice = work.choice;
  int32_t* chosen = Chosen(work);
  if (choice.ReadsNothing()) {
    for (int32_t i = threadIdx.x; i < choice.span(); i += kSelectThreads) {
      chosen[i] = choice.plan.request.first + i;
    }
    return Finish(work, {0, true});
  }
  TakeBest(work, choice.span(), [&](int32_t block) { chosen[work.selector.Append()] = block; });
  Finish(work, {choice.ByKeys() ? choice.distant() : 0, choice.ByKeys()});
}

// `last`: the rank of the last of the k best of the first list.
// 1. What was not read and has a bound that reaches it may be better: none is a proof.
// 2. Else the best of those, as many as the budget has left, are the second list.
__device__ inline void Widen(const Work& work, uint32_t last) {
  const Choice& choice = work.choice;
  const ChoiceState state = work.desk.state;
  if (state.first_count == choice.distant()) return Finish(work, {state.first_count, true});
  // What stands in has another score: going by it, pages would be wanted that nobody needs.
  if (choice.Missed()) return Finish(work, {state.first_count, false});
  const auto rivals = work.selector.Gather(RankEntries{choice, choice.ranks(), choice.group_ranks(),
                                                       uint64_t{last} << 32, state.border});
  const int32_t found = rivals.held.count;
  const int32_t taken = min(found, choice.plan.request.candidate_budget - state.first_count);
  if (taken <= 0) return Finish(work, {state.first_count, found == 0});
  const uint64_t border = work.selector.Border(rivals, taken);
  int32_t* second = choice.candidates() + state.first_count;
  work.selector.Reset();
  rivals.ForEach([&](uint64_t entry) {
    if (entry >= border) {
      second[work.selector.Append()] = BlockOf(entry);
    } else {
      work.selector.KeepHighest(RankIn(entry));
    }
  });
  __syncthreads();
  if (threadIdx.x == 0) {
    work.desk.state.left_out = work.selector.highest();
    work.desk.state.count += taken;
  }
}

// The k best of both lists, proven when no bound that was left out reaches the last of them.
__device__ inline void Settle(const Work& work, uint32_t last) {
  const ChoiceState state = work.desk.state;
  Finish(work, {state.count, state.left_out < last});
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_WORK_CUH_
