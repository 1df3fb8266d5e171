#include <algorithm>

#include "engine/backend/cuda/code_tiles.cuh"
#include "engine/backend/cuda/partial_scan.h"
#include "engine/backend/cuda/span_scan.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;

// Clears what CTAs gather by maximum. Grid y: choices.
__global__ void ClearRanksKernel(const RetrievalJob job) {
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (!choice.IsScanned() || choice.plan.few) return;
  const int32_t at = blockIdx.x * kThreads + threadIdx.x, step = gridDim.x * kThreads;
  for (int32_t i = at; i < choice.groups(); i += step) choice.group_ranks()[i] = 0;
  if (!choice.ByCodes()) return;
  for (int32_t i = at; i < choice.distant(); i += step) choice.ranks()[i] = 0;
}

struct ScanArgs {
  RetrievalJob job;
  int32_t run_groups;  // of one CTA
};

// What the warps of a CTA with few columns share.
template <int kSteps>
struct RunDesk {
  __align__(16) float mean[16 * kSteps];
  uint32_t estimates[kMostRunGroups],
      ranks[kMostRunGroups];  // the groups' maxima
};

// The blocks of a code tile's rows, counted from the first distant one.
template <int kSteps>
struct RunRows {
  int32_t begin, end;  // of the run's blocks

  // The block of row `row` of this lane, which may be beyond the end.
  // Worked example: of 6 blocks tile 1 has blocks 4 and 5, and 5 again in the place of two more.
  __device__ int32_t At(int32_t tile, int row) const {
    return begin + tile * kTileOfBlocks + 2 * row + static_cast<int32_t>(threadIdx.x) % 32 / 16;
  }
  __device__ void Load(const Choice& choice, int32_t tile, CodeTile<kSteps>* codes) const {
    int32_t blocks[2];
    std::byte* heads[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      blocks[row] = choice.plan.request.first + min(At(tile, row), end - 1);
      heads[row] = choice.Codes(blocks[row]);
    }
    codes->Load(heads, blocks);
  }
  __device__ void Store(const Choice& choice, const BlockScore (&best)[2], int32_t tile,
                        RunDesk<kSteps>* desk) const {
    if (threadIdx.x % 16 != 0) return;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int32_t at = At(tile, row), group = (at - begin) / kGroupBlocks;
      if (at >= end) continue;
      const uint32_t estimate = RankOf(best[row].estimate);
      const uint32_t bound = RankOf(best[row].bound + kUnderflow);
      choice.estimates()[at] = estimate;
      choice.ranks()[at] = bound;
      atomicMax(desk->estimates + group, estimate);
      atomicMax(desk->ranks + group, bound);
    }
  }
};

// Few columns are bound by memory: 16 warps of a multiprocessor with 8 KB under way each. Grid:
// (runs, choices); a run is some groups.
// 1. The mean key and what the queries make of it. 2. A warp four blocks at a time. 3. The groups'
//    maxima.
template <int kSteps>
__global__ void __launch_bounds__(kThreads, 2) ScanRunsKernel(const ScanArgs args) {
  __shared__ RunDesk<kSteps> desk;
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  if (!choice.plan.few || choice.plan.partial || !choice.IsScanned()) return;
  const int32_t begin = blockIdx.x * args.run_groups * kGroupBlocks;
  const int32_t end = min(begin + args.run_groups * kGroupBlocks, choice.distant());
  if (begin >= end) return;
  MeanKey(args.job.page, choice.Keys<Bf16Number>(0), desk.mean);
  if (threadIdx.x < kMostRunGroups) desk.estimates[threadIdx.x] = desk.ranks[threadIdx.x] = 0;
  __syncthreads();
  const RunRows<kSteps> rows{begin, end};
  const int32_t tiles = (end - begin + kTileOfBlocks - 1) / kTileOfBlocks;
  if (threadIdx.x / 32 < tiles) {
    const QueryTiles<kSteps, 1> queries(choice, 0, desk.mean);
    for (int32_t tile = threadIdx.x / 32; tile < tiles; tile += kWarps) {
      CodeTile<kSteps> codes;
      rows.Load(choice, tile, &codes);
      BlockScore best[2];
      queries.template Score<true>(codes, best);
      MergeRows(best);
      rows.Store(choice, best, tile, &desk);
    }
  }
  __syncthreads();
  const int32_t i = threadIdx.x, group = begin / kGroupBlocks + i;
  if (i >= args.run_groups || group >= choice.groups()) return;
  choice.group_estimates()[group] = desk.estimates[i];
  choice.group_ranks()[group] = desk.ranks[i];
}

// Many columns are bound by arithmetic: four tiles of columns share the unpacking of codes, and
// blocks are ordered by their bounds, without estimates. A CTA takes a group; its warps share out
// the columns (with z), and what warps are left the blocks.
template <int kSteps>
__global__ void __launch_bounds__(128, 2) ScanTilesKernel(const RetrievalJob job) {
  constexpr int kTiles = 4, kTileWarps = 4, kColumns = 8 * kTiles;
  __shared__ __align__(16) float mean[16 * kSteps];
  const Choice choice(job, blockIdx.y);
  FollowStage();
  const int32_t columns = choice.column_count(), warp = threadIdx.x / 32;
  if (!choice.IsScanned() || !choice.ByCodes() || choice.plan.few) return;
  const int32_t across = columns > 2 * kColumns ? 4 : columns > kColumns ? 2 : 1;
  const int32_t first = (blockIdx.z * across + warp % across) * kColumns;
  if (blockIdx.z * across * kColumns >= columns || blockIdx.x >= choice.groups()) return;
  MeanKey(job.page, choice.Keys<Bf16Number>(0), mean);
  __syncthreads();
  if (first >= columns) return;
  const QueryTiles<kSteps, kTiles> queries(choice, first, mean);
  const int32_t begin = blockIdx.x * kGroupBlocks, lane = threadIdx.x % 32;
  const int32_t count = min(kGroupBlocks, choice.distant() - begin);
  uint32_t of_group = 0;  // in lanes 0 and 16
  for (int32_t tile = warp / across; tile * kTileOfBlocks < count; tile += kTileWarps / across) {
    int32_t place[2], blocks[2];
    std::byte* heads[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      place[row] = tile * kTileOfBlocks + 2 * row + lane / 16;
      blocks[row] = choice.plan.request.first + begin + min(place[row], count - 1);
      heads[row] = choice.Codes(blocks[row]);
    }
    CodeTile<kSteps> codes;
    codes.Load(heads, blocks);
    BlockScore best[2];
    queries.template Score<false>(codes, best);
    MergeRows(best);
    if (lane % 16 != 0) continue;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      if (place[row] >= count) continue;
      const uint32_t rank = RankOf(best[row].bound + kUnderflow);
      atomicMax(choice.ranks() + begin + place[row], rank);
      of_group = max(of_group, rank);
    }
  }
  if (lane % 16 == 0) atomicMax(choice.group_ranks() + blockIdx.x, of_group);
}

// The same bounds without matrix units: a lane a token. Any head_dim and block size.
template <typename T>
__device__ float PlainBound(const Choice& choice, int32_t block, const float* mean) {
  const CodeLayout& codes = choice.job.codes;
  const int32_t of = block % memory::kTileBlocks;
  std::byte* head = choice.Codes(block);
  const float rho = *codes.Rho(head, of);
  float best = rho < INFINITY ? -INFINITY : INFINITY;
  for (int32_t t = threadIdx.x % 32; t < codes.block_size; t += 32) {
    const float scale = ToFloat(codes.Scales(head, of)[t]);
    for (int32_t column = 0; column < choice.column_count(); ++column) {
      const T* q = choice.Query<T>(column);
      QuerySums facts;
      float sum = 0;
      for (int32_t d = 0; d < choice.job.page.head_dim; ++d) {
        const uint32_t word = codes.Codes(head, of, d)[t / 8];
        sum = fmaf(ToFloat(q[d]), static_cast<float>(word >> (4 * (t % 8)) & 15) - 7.5f, sum);
        facts.Add(ToFloat(q[d]), mean[d]);
      }
      const float bound = fmaf(scale, fmaf(facts.Norm(), rho, sum), facts.dot);
      best = fmaxf(best, fmaxf(facts.Floor(), bound));
    }
  }
  return best;
}

// A warp a block.
template <typename T>
__global__ void ScanCodesPlainKernel(const RetrievalJob job) {
  extern __shared__ float mean[];  // [head_dim]
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (!choice.IsScanned() || !choice.ByCodes() || choice.plan.few) return;
  if (blockIdx.x >= choice.groups()) return;
  MeanKey(job.page, choice.Keys<T>(0), mean);
  __syncthreads();
  const int32_t begin = blockIdx.x * kGroupBlocks,
                end = min(begin + kGroupBlocks, choice.distant());
  for (int32_t at = begin + threadIdx.x / 32; at < end; at += kWarps) {
    const float bound = PlainBound<T>(choice, choice.plan.request.first + at, mean);
    const uint32_t rank = __reduce_max_sync(~0u, RankOf(bound + kUnderflow));
    if (threadIdx.x % 32 != 0) continue;
    choice.ranks()[at] = rank;
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
  if (!choice.IsScanned() || !choice.BySummary()) return;
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
void ScanByMatrixUnits(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  if (shape.few_full) {
    const int64_t groups = shape.rank_room / kGroupBlocks;
    const int64_t run = RunGroups(shape, *context, 4);
    context->queue->Launch(ScanRunsKernel<kSteps>, dim3(CeilDiv(groups, run), shape.choices),
                           dim3(kThreads), 0, ScanArgs{job, static_cast<int32_t>(run)},
                           Overlap::kPrologue);
  }
  if (shape.few_partial) ScanPartially(job, shape, context);
  if (!shape.many_columns) return;
  const dim3 grid(shape.rank_room / kGroupBlocks, shape.choices, CeilDiv(shape.columns, 128));
  context->queue->Launch(ScanTilesKernel<kSteps>, grid, dim3(128), 0, job, Overlap::kPrologue);
}

}  // namespace

void ScanDistantBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  LaunchQueue* queue = context->queue;
  const dim3 grid(shape.rank_room / kGroupBlocks, shape.choices);
  if (shape.many_columns || shape.by_summary || shape.by_keys) {
    const dim3 clearing(std::min<uint32_t>(grid.x, 16), shape.choices);
    queue->Launch(ClearRanksKernel, clearing, dim3(kThreads), 0, job, Overlap::kPrologue);
  }
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (shape.many_columns && !shape.fast_codes) {
      queue->Launch(ScanCodesPlainKernel<T>, grid, dim3(kThreads),
                    job.page.head_dim * sizeof(float), job, Overlap::kPrologue);
    }
    if (shape.by_summary) {
      queue->Launch(ScanSummariesKernel<T>, grid, dim3(kThreads), 0, job, Overlap::kPrologue);
    }
  });
  if (!shape.fast_codes) return;
  if (job.page.head_dim == 64) ScanByMatrixUnits<4>(job, shape, context);
  if (job.page.head_dim == 128) ScanByMatrixUnits<8>(job, shape, context);
}

}  // namespace eidetic::cuda
