#include <algorithm>

#include "engine/backend/cuda/exact_scores.cuh"
#include "engine/backend/cuda/exact_scores.h"
#include "engine/backend/cuda/span_choice.h"
#include "engine/backend/cuda/span_work.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = kSelectThreads;
// Entries that a CTA keeps in shared memory, 32 KB: more than the best groups
// have above their border. More are read from memory in every pass.
constexpr int32_t kMostEntries = 4096;
// Candidates whose scores a CTA keeps beside them, 64 KB.
constexpr int32_t kMostScores = 8192;

struct ChooseArgs {
  RetrievalJob job;
  int32_t entry_room, score_room;  // of the shared lists
};

// A warp a block of the candidates [begin, end), over all CTAs of the cluster; entries go to the
// first CTA's list.
template <int kSteps, int kCtas>
__device__ void ScoreList(const Choice& choice, int32_t begin, int32_t end, uint64_t* list) {
  constexpr int32_t kStep = kThreads / 32 * kCtas;
  const int32_t lane = threadIdx.x % 32;
  if constexpr (kCtas > 1) list = cooperative_groups::this_cluster().map_shared_rank(list, 0);
  for (int32_t i = begin + threadIdx.x / 32 * kCtas + blockIdx.x % kCtas; i < end;
       i += 32 * kStep) {
    // Where this block's and the next ones' keys are, a lane each.
    const int32_t mine = i + lane * kStep;
    const int32_t block = mine < end ? Candidate(choice, mine) : 0;
    const auto address =
        reinterpret_cast<unsigned long long>(mine < end ? choice.Keys<Bf16Number>(block) : nullptr);
    for (int32_t k = 0; k < 32 && i + k * kStep < end; ++k) {
      const auto* keys = reinterpret_cast<const Bf16Number*>(__shfl_sync(~0u, address, k));
      const uint32_t rank = __reduce_max_sync(~0u, RankOf(ScoreBlock<kSteps, false>(choice, keys)));
      const int32_t of = __shfl_sync(~0u, block, k);
      if (lane == 0) list[i + k * kStep] = EntryOf(rank, of);
    }
  }
}

// A cluster of kCtas takes a choice from ranks to its span. Its first CTA lists and settles, all of
// them score: what one launch a stage would take is spent in waiting for launches. shared: Desk,
// scores [score_room], then what is gathered [entry_room].
template <int kSteps, int kCtas>
__global__ void __cluster_dims__(kCtas, 1, 1) __launch_bounds__(kThreads, 2)
    ChooseSpansKernel(const ChooseArgs args) {
  extern __shared__ uint4 shared[];
  Desk& desk = *reinterpret_cast<Desk*>(shared);
  auto* list = reinterpret_cast<uint64_t*>(&desk + 1);
  const Choice choice(args.job, blockIdx.x / kCtas);
  const bool first_cta = blockIdx.x % kCtas == 0;
  FollowStage();
  if (choice.plan.partial) return;
  Selector selector(&desk.select, list + args.score_room, args.entry_room);
  const Work work{choice, selector, desk};
  if (ByRanks(choice)) {
    if (first_cta) FinishByRanks(work);
    return;
  }
  const bool scanned = choice.IsScanned();
  if (first_cta) PickFirst(work);
  if (scanned) SyncCluster<kCtas>();
  const int32_t first_count = choice.wanted();
  ScoreList<kSteps, kCtas>(choice, 0, first_count, list);
  SyncCluster<kCtas>();
  if (first_cta) Widen(work, ChooseBest(work, HeldEntries{list, first_count}));
  if (!scanned) return;
  if (first_cta && threadIdx.x == 0) choice.state() = desk.state;
  SyncCluster<kCtas>();
  const ChoiceState state = choice.state();
  if (state.done != 0) return;
  ScoreList<kSteps, kCtas>(choice, first_count, state.count, list);
  SyncCluster<kCtas>();
  if (first_cta) Settle(work, ChooseBest(work, HeldEntries{list, state.count}));
}

// The same, a launch a stage, where scoring is for other launches.
enum class Stage : uint8_t { kPick, kWiden, kSettle };
struct StageArgs {
  ChooseArgs choose;
  Stage stage;
};

__global__ void __launch_bounds__(kThreads) ChooseStageKernel(const StageArgs args) {
  extern __shared__ uint4 shared[];
  Desk& desk = *reinterpret_cast<Desk*>(shared);
  const Choice choice(args.choose.job, blockIdx.x);
  FollowStage();
  if (choice.plan.partial) return;
  Selector selector(&desk.select, reinterpret_cast<uint64_t*>(&desk + 1), args.choose.entry_room);
  const Work work{choice, selector, desk};
  const bool pick = args.stage == Stage::kPick;
  if (ByRanks(choice)) {
    if (pick) FinishByRanks(work);
    return;
  }
  if (pick) {
    PickFirst(work);
  } else {
    if (threadIdx.x == 0) desk.state = choice.state();
    __syncthreads();
    if (desk.state.done != 0) return;
    const int32_t count = desk.state.count;
    int32_t* candidates = choice.candidates();
    if (!choice.IsScanned()) {
      for (int32_t i = threadIdx.x; i < count; i += kThreads) candidates[i] = Candidate(choice, i);
      __syncthreads();
    }
    const auto scores = selector.Gather(ListEntries{choice.scores(), candidates, count});
    const uint32_t last = ChooseBest(work, scores);
    args.stage == Stage::kWiden ? Widen(work, last) : Settle(work, last);
  }
  if (threadIdx.x == 0) choice.state() = desk.state;
}

template <int kSteps, int kCtas>
void LaunchAtOnce(const ChooseArgs& args, int32_t choices, Context* context) {
  const size_t shared = sizeof(Desk) + (args.entry_room + args.score_room) * sizeof(uint64_t);
  context->queue->Launch(ChooseSpansKernel<kSteps, kCtas>, dim3(choices * kCtas), dim3(kThreads),
                         shared, args, Overlap::kPrologue);
}

template <int kSteps>
void ChooseAtOnce(const ChooseArgs& args, int32_t choices, Context* context) {
  ForClusterSize(choices, *context, [&](auto ctas) {
    LaunchAtOnce<kSteps, decltype(ctas)::value>(args, choices, context);
  });
}

}  // namespace

void ChooseSpans(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  const ChooseArgs args{job, std::min(shape.rank_room, kMostEntries), shape.list_room};
  const bool at_once = shape.matrix_units && !shape.scores_much && shape.list_room <= kMostScores;
  if (at_once) {
    return job.page.head_dim == 64 ? ChooseAtOnce<4>(args, shape.choices, context)
                                   : ChooseAtOnce<8>(args, shape.choices, context);
  }
  const auto launch = [&](Stage stage) {
    context->queue->Launch(ChooseStageKernel, dim3(shape.choices), dim3(kThreads),
                           sizeof(Desk) + args.entry_room * sizeof(uint64_t),
                           StageArgs{args, stage}, Overlap::kPrologue);
  };
  launch(Stage::kPick);
  if (!shape.two_stage) return;
  ScoreBlocks(job, shape, ScoredBlocks::kFirstList, context);
  launch(Stage::kWiden);
  ScoreBlocks(job, shape, ScoredBlocks::kSecondList, context);
  launch(Stage::kSettle);
}

}  // namespace eidetic::cuda
