#include "engine/backend/cuda/code_tiles.cuh"
#include "engine/backend/cuda/span_scan.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;
constexpr int32_t kFactsColumns = 64;  // of one CTA

// 1. Clears what the scan gathers by maximum.
// 2. With codes: the mean key of block 0, then a warp a column: its sum, norm and product with
//    the mean. Grid: (columns / kFactsColumns, choices).
template <typename T>
__global__ void ColumnFactsKernel(const RetrievalJob job) {
  extern __shared__ float mean[];  // [head_dim]
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (choice.ReadsNothing()) return;
  const int32_t at = blockIdx.x * kThreads + threadIdx.x, step = gridDim.x * kThreads;
  for (int32_t i = at; i < choice.groups(); i += step) choice.group_ranks()[i] = 0;
  if (choice.ByCodes() && choice.column_count() > kFewColumns) {
    for (int32_t i = at; i < choice.distant(); i += step) choice.ranks()[i] = 0;
  }
  const int32_t first = blockIdx.x * kFactsColumns;
  if (!choice.ByCodes() || first >= choice.column_count()) return;
  MeanKey(job.page, choice.Keys<T>(0), mean);
  __syncthreads();
  const int32_t end = min(first + kFactsColumns, choice.column_count()), lane = threadIdx.x % 32;
  for (int32_t column = first + threadIdx.x / 32; column < end; column += kWarps) {
    const T* q = choice.Query<T>(column);
    float dot = 0, sum = 0, size = 0, squares = 0;
    for (int32_t d = lane; d < job.page.head_dim; d += 32) {
      const float value = ToFloat(q[d]);
      dot += value * mean[d];
      sum += value;
      size += fabsf(value);
      squares += value * value;
    }
    dot = WarpSum(dot), sum = WarpSum(sum), size = WarpSum(size), squares = WarpSum(squares);
    // Where squares underflow the sum of magnitudes is a norm too, only larger.
    const float norm = kNormMargin * (squares > 1e-30f ? sqrtf(squares) : size);
    const bool bounds = norm < kLargestNorm;  // not so for NaN
    if (lane == 0) {
      choice.columns()[column] = {dot, norm, kCodeOffset * sum, bounds ? -INFINITY : INFINITY};
    }
  }
}

// Blocks of one CTA as one warp walks them, 16 tokens a step.
struct Walk {
  int32_t block, group = 0;

  __device__ void Advance(int32_t groups, int32_t stride) {
    if (++group < groups) return;
    group = 0;
    block += stride;
  }
};

// Few columns are bound by memory: 16 warps of a multiprocessor with 4 KB under way each are
// twice what the memory's latency asks for. Many are bound by the matrix units: four tiles share
// the unpacking of codes.
template <int kTiles>
struct ScanShape {
  static constexpr bool kMany = kTiles > 1;
  static constexpr int32_t kWarps = kMany ? 4 : 8;
  static constexpr int32_t kTileColumns = 8 * kTiles;
  static constexpr int32_t kPieceBytes = kMany ? 1024 : 4096;  // under way
};

struct ScanArgs {
  RetrievalJob job;
  int32_t sharing;  // warps that share out a group's blocks, where columns are few
};

// A warp's blocks of a group: `offset`, and every stride-th from there.
template <int kSteps, int kTiles>
__device__ void ScanBlocks(const Choice& choice, const QueryTiles<kSteps, kTiles>& tiles,
                           int32_t of_group, int32_t offset, int32_t stride) {
  constexpr int kDepth = ScanShape<kTiles>::kPieceBytes / (128 * kSteps) > 1
                             ? ScanShape<kTiles>::kPieceBytes / (128 * kSteps)
                             : 2;
  const CodeLayout& layout = choice.job.codes;
  const int32_t begin = of_group * kGroupBlocks, lane = threadIdx.x % 32;
  const int32_t end = min(kGroupBlocks, choice.distant() - begin);
  const int32_t groups = layout.block_size / 16, first = choice.plan.request.first + begin;
  // The blocks lie in up to five tiles; lane i keeps the i-th one's address.
  const int32_t first_tile = first / memory::kTileBlocks;
  const bool used = lane <= (first + end - 1) / memory::kTileBlocks - first_tile;
  const auto mine = reinterpret_cast<unsigned long long>(
      used ? choice.plan.chunk.tiles[first_tile + lane] : nullptr);
  CodePiece<kSteps> pieces[kDepth];
  Walk next{offset}, walk{offset};
  const auto load = [&](CodePiece<kSteps>& piece) {
    if (next.block >= end) return;
    const int32_t block = first + next.block;
    const auto tile = __shfl_sync(~0u, mine, block / memory::kTileBlocks - first_tile);
    piece.Load(layout, layout.Block(reinterpret_cast<void*>(tile), choice.kv_head, block),
               next.group);
    next.Advance(groups, stride);
  };
#pragma unroll
  for (int i = 0; i < kDepth; ++i) load(pieces[i]);
  float best = -INFINITY;
  uint32_t group_best = 0;
  while (walk.block < end) {
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      if (walk.block >= end) break;
      best = fmaxf(best, tiles.Bound(pieces[i]));
      load(pieces[i]);
      if (walk.group == groups - 1) {
        const uint32_t rank = __reduce_max_sync(~0u, RankOf(best + kUnderflow));
        uint32_t* to = choice.ranks() + begin + walk.block;
        if (lane == 0 && ScanShape<kTiles>::kMany) atomicMax(to, rank);
        if (lane == 0 && !ScanShape<kTiles>::kMany) *to = rank;
        group_best = max(group_best, rank);
        best = -INFINITY;
      }
      walk.Advance(groups, stride);
    }
  }
  if (lane == 0) atomicMax(choice.group_ranks() + of_group, group_best);
}

// Grid y: choices. Few columns: a CTA takes 8 / sharing groups of 64 blocks, a warp as many
// blocks of one as it can, to keep its loads coming, as long as there are warps for all
// multiprocessors. Many columns: a CTA takes one group; warps share out the columns (with z), and
// what warps are left share out the blocks.
template <int kSteps, int kTiles>
__global__ void __launch_bounds__(32 * ScanShape<kTiles>::kWarps, ScanShape<kTiles>::kMany ? 3 : 2)
    ScanCodesKernel(const ScanArgs args) {
  using Shape = ScanShape<kTiles>;
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  const int32_t columns = choice.column_count(), warp = threadIdx.x / 32;
  if (choice.ReadsNothing() || !choice.ByCodes()) return;
  if ((columns > kFewColumns) != Shape::kMany) return;
  const int32_t across = columns > 2 * Shape::kTileColumns ? 4
                         : columns > Shape::kTileColumns   ? 2
                                                           : 1;
  const int32_t sharing = Shape::kMany ? Shape::kWarps / across : args.sharing;
  const int32_t first = (blockIdx.z * across + warp % across) * Shape::kTileColumns;
  const int32_t of_group =
      Shape::kMany ? blockIdx.x : blockIdx.x * (Shape::kWarps / sharing) + warp / sharing;
  if (first >= columns || of_group >= choice.groups()) return;
  const QueryTiles<kSteps, kTiles> tiles(choice, first);
  const int32_t offset = Shape::kMany ? warp / across : warp % sharing;
  ScanBlocks(choice, tiles, of_group, offset, sharing);
}

// The same bounds without matrix units: a warp a block, a lane a token. Any head_dim.
template <typename T>
__global__ void ScanCodesPlainKernel(const RetrievalJob job) {
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (choice.ReadsNothing() || !choice.ByCodes()) return;
  const int32_t begin = blockIdx.x * kGroupBlocks, lane = threadIdx.x % 32;
  const int32_t end = min(kGroupBlocks, choice.distant() - begin);
  for (int32_t i = threadIdx.x / 32; i < end; i += kWarps) {
    const int32_t block = choice.plan.request.first + begin + i;
    const std::byte* codes = job.codes.Block(choice.Tile(block), choice.kv_head, block);
    const auto* words = reinterpret_cast<const uint32_t*>(codes);
    const float rho = *reinterpret_cast<const float*>(codes + job.codes.rho());
    float best = rho < INFINITY ? -INFINITY : INFINITY;
    for (int32_t t = lane; t < job.page.block_size; t += 32) {
      const float scale =
          ToFloat(reinterpret_cast<const Bf16Number*>(codes + job.codes.scales())[t]);
      for (int32_t column = 0; column < choice.column_count(); ++column) {
        const T* q = choice.Query<T>(column);
        const ColumnFacts& facts = choice.columns()[column];
        float sum = 0;
        for (int32_t d = 0; d < job.page.head_dim; ++d) {
          const uint32_t word = words[CodeWord::Of(t, d).Index(job.codes.steps)];
          const auto code = static_cast<float>(word >> CodeWord::Shift(t, d) & 15);
          sum = fmaf(ToFloat(q[d]), code - 7.5f, sum);
        }
        const float bound = fmaf(scale, fmaf(facts.norm, rho, sum), facts.mean_dot);
        best = fmaxf(best, fmaxf(facts.floor, bound));
      }
    }
    const uint32_t rank = __reduce_max_sync(~0u, RankOf(best + kUnderflow));
    if (lane != 0) continue;
    choice.ranks()[begin + i] = rank;
    atomicMax(choice.group_ranks() + blockIdx.x, rank);
  }
}

// The score of a column by a block's summary vectors, or a true bound by its channel bounds.
template <typename T>
__device__ float SummaryScore(const Choice& choice, const T* q, int32_t block) {
  const bool two = choice.plan.chunk.summary == memory::SummaryKind::kBounds;
  const int32_t head_dim = choice.job.page.head_dim;
  const auto* high = static_cast<const Bf16Number*>(choice.Tile(block)) +
                     int64_t{choice.kv_head} * (two ? 2 : 1) * head_dim * memory::kTileBlocks +
                     block % memory::kTileBlocks;
  const Bf16Number* low = high + (two ? int64_t{head_dim} * memory::kTileBlocks : 0);
  float sum = 0, size = 0;
  for (int32_t d = 0; d < head_dim; ++d) {
    const float value = ToFloat(q[d]);
    const float above = ToFloat(high[int64_t{d} * memory::kTileBlocks]);
    const float below = ToFloat(low[int64_t{d} * memory::kTileBlocks]);
    sum += fmaxf(value * above, value * below);
    size += fabsf(value) * fmaxf(fabsf(above), fabsf(below));
  }
  if (!choice.TwoStage()) return sum;
  // The roundings of both sums; where they could overflow, or for NaN, no bound.
  return size < kLargestNorm * kLargestNorm ? sum + DotError(head_dim) * size + kUnderflow
                                            : INFINITY;
}

// A CTA scores 64 blocks: thread i block i % 64 with every fourth column from i / 64 on.
template <typename T>
__global__ void ScanSummariesKernel(const RetrievalJob job) {
  __shared__ uint32_t ranks[kGroupBlocks];
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (choice.ReadsNothing() || !choice.BySummary()) return;
  const int32_t begin = blockIdx.x * kGroupBlocks, i = threadIdx.x % kGroupBlocks;
  if (begin >= choice.distant()) return;
  const bool valid = begin + i < choice.distant();
  if (threadIdx.x < kGroupBlocks) ranks[i] = 0;
  __syncthreads();
  float best = -INFINITY;
  for (int32_t column = threadIdx.x / kGroupBlocks; valid && column < choice.column_count();
       column += kThreads / kGroupBlocks) {
    const int32_t block = choice.plan.request.first + begin + i;
    best = fmaxf(best, SummaryScore(choice, choice.Query<T>(column), block));
  }
  if (valid) atomicMax(&ranks[i], RankOf(best));
  __syncthreads();
  if (threadIdx.x >= kGroupBlocks || !valid) return;
  choice.ranks()[begin + i] = ranks[i];
  atomicMax(choice.group_ranks() + blockIdx.x, ranks[i]);
}

template <int kSteps>
void LaunchScanCodes(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  constexpr int kManyTiles = 4;
  const int32_t groups = shape.rank_room / kGroupBlocks;
  if (shape.few_columns) {
    // 16 warps are resident on a multiprocessor; three rounds of them even out its end.
    const int64_t wanted = int64_t{context->processors} * 16 * 3;
    int32_t sharing = ScanShape<1>::kWarps;
    while (sharing > 1 && int64_t{groups} * shape.choices * sharing / 2 >= wanted) sharing /= 2;
    const int64_t ctas = CeilDiv(groups, ScanShape<1>::kWarps / sharing);
    context->queue->Launch(ScanCodesKernel<kSteps, 1>, dim3(ctas, shape.choices),
                           dim3(32 * ScanShape<1>::kWarps), 0, ScanArgs{job, sharing},
                           Overlap::kPrologue);
  }
  if (shape.many_columns) {
    using Shape = ScanShape<kManyTiles>;
    const int64_t turns = CeilDiv(shape.columns, Shape::kWarps * Shape::kTileColumns);
    context->queue->Launch(ScanCodesKernel<kSteps, kManyTiles>, dim3(groups, shape.choices, turns),
                           dim3(32 * Shape::kWarps), 0, ScanArgs{job, 1}, Overlap::kPrologue);
  }
}

}  // namespace

void ScanDistantBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    LaunchQueue* queue = context->queue;
    queue->Launch(ColumnFactsKernel<T>, dim3(CeilDiv(shape.columns, kFactsColumns), shape.choices),
                  dim3(kThreads), job.page.head_dim * sizeof(float), job, Overlap::kPrologue);
    const dim3 grid(shape.rank_room / kGroupBlocks, shape.choices);
    if (shape.by_codes && !shape.matrix_units) {
      queue->Launch(ScanCodesPlainKernel<T>, grid, dim3(kThreads), 0, job, Overlap::kPrologue);
    }
    if (shape.by_summary) {
      queue->Launch(ScanSummariesKernel<T>, grid, dim3(kThreads), 0, job, Overlap::kPrologue);
    }
  });
  if (!shape.by_codes || !shape.matrix_units) return;
  if (job.page.head_dim == 64) LaunchScanCodes<4>(job, shape, context);
  if (job.page.head_dim == 128) LaunchScanCodes<8>(job, shape, context);
}

}  // namespace eidetic::cuda
