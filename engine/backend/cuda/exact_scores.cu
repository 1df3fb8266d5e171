#include <algorithm>

#include "engine/backend/cuda/exact_scores.cuh"
#include "engine/backend/cuda/exact_scores.h"

namespace eidetic::cuda {
namespace {

// Small CTAs: a decode step's first list is 96 blocks of 8 KV heads, a warp each, and should
// spread over all multiprocessors.
constexpr int32_t kThreads = 128;
constexpr int32_t kWarps = kThreads / 32;
// CTAs of a choice; their warps go on to further blocks. Lists are mostly shorter than they may be.
constexpr int64_t kMaxCtas = 128;

struct ScoreArgs {
  RetrievalJob job;
  ScoredBlocks which;
};

// The numbers of the blocks to score; where block i's rank goes.
struct BlockList {
  const Choice& choice;
  ScoredBlocks which;
  int32_t begin = 0, end = 0;

  __device__ BlockList(const Choice& of, ScoredBlocks blocks) : choice(of), which(blocks) {
    if (choice.ReadsNothing()) return;
    if (which == ScoredBlocks::kAllDistant) {
      end = choice.ByKeys() ? choice.distant() : 0;
    } else if (choice.TwoStage()) {
      const ChoiceState& state = choice.state();
      const bool first = which == ScoredBlocks::kFirstList;
      begin = first ? 0 : state.first_count;
      end = first ? state.first_count : state.done ? 0 : state.count;
    }
  }
  __device__ int32_t Block(int32_t i) const {
    // Not scanned: every distant block is a candidate.
    return which == ScoredBlocks::kAllDistant || !choice.IsScanned() ? choice.plan.request.first + i
                                                                     : choice.candidates()[i];
  }
  __device__ void Store(int32_t i, uint32_t rank) const {
    if (which == ScoredBlocks::kAllDistant) {
      choice.ranks()[i] = rank;
      atomicMax(choice.group_ranks() + i / kGroupBlocks, rank);
    } else {
      choice.scores()[i] = rank;
    }
  }
};

// Grid: (CTAs of a choice, choices). A warp a block. kSteps: of the matrix units; 0: without.
template <typename T, int kSteps>
__global__ void __launch_bounds__(kThreads) ExactScoresKernel(const ScoreArgs args) {
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  const BlockList list(choice, args.which);
  for (int32_t i = list.begin + blockIdx.x * kWarps + threadIdx.x / 32; i < list.end;
       i += gridDim.x * kWarps) {
    float best;
    if constexpr (kSteps > 0) {
      best = ScoreBlock<kSteps, true>(choice, choice.Keys<Bf16Number>(list.Block(i)));
    } else {
      best = ScoreBlockPlainly<T>(choice, list.Block(i));
    }
    const uint32_t rank = __reduce_max_sync(~0u, RankOf(best));
    if (threadIdx.x % 32 == 0) list.Store(i, rank);
  }
}

}  // namespace

void ScoreBlocks(const RetrievalJob& job, const RetrievalShape& shape, ScoredBlocks which,
                 Context* context) {
  const bool all = which == ScoredBlocks::kAllDistant;
  const int64_t blocks = all ? shape.rank_room : shape.list_room;
  // All distant blocks are many for certain; a list's CTAs mostly find little.
  const int64_t ctas = std::min(CeilDiv(blocks, kWarps), all ? 16 * kMaxCtas : kMaxCtas);
  const dim3 grid(ctas, shape.choices);
  const auto launch = [&](void (*kernel)(ScoreArgs)) {
    context->queue->Launch(kernel, grid, dim3(kThreads), 0, ScoreArgs{job, which},
                           Overlap::kPrologue);
  };
  if (shape.matrix_units) {
    launch(job.page.head_dim == 64 ? ExactScoresKernel<Bf16Number, 4>
                                   : ExactScoresKernel<Bf16Number, 8>);
  } else if (context->precision == Precision::kBf16) {
    launch(ExactScoresKernel<Bf16Number, 0>);
  } else {
    launch(ExactScoresKernel<float, 0>);
  }
}

}  // namespace eidetic::cuda
