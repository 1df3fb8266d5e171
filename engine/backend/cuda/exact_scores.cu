#include <algorithm>

#include "engine/backend/cuda/exact_scores.h"
#include "engine/backend/cuda/scan_ptx.cuh"

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
    return which == ScoredBlocks::kAllDistant ? choice.plan.request.first + i
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

// 16 keys as the first operand of kSteps products: lane 4 g + t has channels 4 t to 4 t + 3 of
// each step, of rows g and g + 8. Queries have the same channels at the same lanes.
template <int kSteps>
struct KeyTile {
  uint2 rows[2][kSteps];

  __device__ void Load(const Bf16Number* keys) {
    const int32_t lane = threadIdx.x % 32;
    const Bf16Number* row = keys + lane / 4 * (16 * kSteps) + lane % 4 * 4;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      rows[0][step] = *reinterpret_cast<const uint2*>(row + 16 * step);
      rows[1][step] = *reinterpret_cast<const uint2*>(row + 8 * 16 * kSteps + 16 * step);
    }
  }
  // The largest score of this lane's rows and two columns, of which the first `valid` count.
  __device__ float Best(const uint2 (&q)[kSteps], int32_t valid) const {
    float sums[4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t keys[4] = {rows[0][step].x, rows[1][step].x, rows[0][step].y, rows[1][step].y};
      MultiplyAdd(sums, keys, q[step].x, q[step].y);
    }
    // Maxima pass over NaN.
    float best = -INFINITY;
    if (valid > 0) best = fmaxf(best, fmaxf(sums[0], sums[2]));
    if (valid > 1) best = fmaxf(best, fmaxf(sums[1], sums[3]));
    return best;
  }
};

// A column of the queries; past the end the last one, which does not count again.
template <int kSteps>
__device__ void LoadColumn(const Choice& choice, int32_t column, uint2 (&q)[kSteps]) {
  const int32_t count = choice.column_count();
  const Bf16Number* from = choice.Query<Bf16Number>(min(column, count - 1)) + threadIdx.x % 4 * 4;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    q[step] = *reinterpret_cast<const uint2*>(from + 16 * step);
  }
}

// 1. Two tiles of 16 keys in registers (a block has a multiple of 16; of an odd one the second
//    is the first again).
// 2. Eight columns at a time, the next ones on their way meanwhile.
template <int kSteps>
__device__ float ScoreBlock(const Choice& choice, int32_t block) {
  const auto* keys = choice.Keys<Bf16Number>(block);
  const int32_t size = choice.job.page.block_size, columns = choice.column_count();
  const int32_t column = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
  float best = -INFINITY;
  for (int32_t token = 0; token < size; token += 32) {
    KeyTile<kSteps> tiles[2];
    tiles[0].Load(keys + int64_t{token} * (16 * kSteps));
    tiles[1].Load(keys + int64_t{min(token + 16, size - 16)} * (16 * kSteps));
    uint2 next[kSteps];
    LoadColumn(choice, column, next);
    for (int32_t first = 0; first < columns; first += 8) {
      uint2 q[kSteps];
#pragma unroll
      for (int step = 0; step < kSteps; ++step) q[step] = next[step];
      if (first + 8 < columns) LoadColumn(choice, first + 8 + column, next);
      const int32_t valid = columns - first - pair;
      best = fmaxf(best, fmaxf(tiles[0].Best(q, valid), tiles[1].Best(q, valid)));
    }
  }
  return best;
}

// A lane a token, a chain of multiply-adds a score. Any head_dim.
template <typename T>
__device__ float ScoreBlockPlainly(const Choice& choice, int32_t block) {
  const int32_t head_dim = choice.job.page.head_dim;
  float best = -INFINITY;
  for (int32_t t = threadIdx.x % 32; t < choice.job.page.block_size; t += 32) {
    const T* key = choice.Keys<T>(block) + int64_t{t} * head_dim;
    for (int32_t column = 0; column < choice.column_count(); ++column) {
      const T* q = choice.Query<T>(column);
      float sum = 0;
      for (int32_t d = 0; d < head_dim; ++d) sum = fmaf(ToFloat(q[d]), ToFloat(key[d]), sum);
      best = fmaxf(best, sum);
    }
  }
  return best;
}

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
      best = ScoreBlock<kSteps>(choice, list.Block(i));
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
