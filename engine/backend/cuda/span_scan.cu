#include "engine/backend/cuda/span_scan.h"

#include <algorithm>

#include "engine/backend/cuda/code_tiles.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;
// CTAs of a multiprocessor that few columns' registers leave room for.
constexpr int32_t kRunCtas = 2;

// Clears what CTAs gather by maximum. Grid y: choices.
__global__ void ClearRanksKernel(const RetrievalJob job) {
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (choice.ReadsNothing() || choice.plan.run_blocks < choice.distant()) return;
  const int32_t at = blockIdx.x * kThreads + threadIdx.x, step = gridDim.x * kThreads;
  for (int32_t i = at; i < choice.groups(); i += step) {
    choice.group_ranks()[i] = choice.group_estimates()[i] = 0;
  }
  if (!choice.ByCodes()) return;
  for (int32_t i = at; i < choice.distant(); i += step) {
    choice.ranks()[i] = choice.estimates()[i] = 0;
  }
}

// Which blocks' codes a launch reads: with one reading in full all; with two the upper planes of
// all, then the listed ones in full.
enum class Reading : uint8_t { kFull, kCoarse, kListed };

struct ScanArgs {
  RetrievalJob job;
  Reading reading;
};

// One warp's blocks of a run: `begin`, and every kWarps-th from there.
struct Walk {
  const Choice& choice;
  bool listed;
  int32_t next, end, units;  // units: pieces of a block
  int32_t unit = 0, block = 0, block_ahead = 0;
  std::byte* head = nullptr;
  void* tile_ahead = nullptr;  // an address is read a block before it is needed

  __device__ Walk(const Choice& of, bool of_list, int32_t begin, int32_t run_end)
      : choice(of), listed(of_list), next(begin), end(run_end),
        units(of.job.codes.block_size / 32) {
    LookAhead(next);
  }
  __device__ void LookAhead(int32_t at) {
    if (at >= end) return;
    block_ahead = listed ? choice.candidates()[at] : choice.plan.request.first + at;
    tile_ahead = choice.Tile(block_ahead);
  }
  template <typename Piece>
  __device__ void Load(Piece* piece) {
    if (next >= end) return;
    if (unit == 0) {
      block = block_ahead;
      head = choice.job.codes.Head(tile_ahead, choice.kv_head);
      LookAhead(next + kWarps);
    }
    piece->Load(choice.job.codes, head, block % memory::kTileBlocks, unit);
    if (++unit < units) return;
    unit = 0;
    next += kWarps;
  }
};

// Few columns are bound by memory: 24 warps of a multiprocessor with 4 KB under way each are
// three times what the memory's latency asks for.
template <int kSteps, int kTiles, bool kLower>
struct RunScan {
  using Queries = QueryDigits<kSteps, kTiles, kLower>;
  using Piece = Queries::Piece;
  static constexpr int kDepth = 6144 / Piece::kBytes < 4 ? 6144 / Piece::kBytes : 4;

  const Choice& choice;
  bool listed;
  int32_t begin, end;
  uint32_t* maxima;  // shared: of estimates, then of bounds, [run_groups] each

  __device__ void Store(int32_t at, const BlockScore& best) const {
    const uint32_t estimate = __reduce_max_sync(~0u, RankOf(best.estimate));
    const uint32_t bound = kLower ? __reduce_max_sync(~0u, RankOf(best.bound + kUnderflow)) : 0;
    if (threadIdx.x % 32 != 0) return;
    if (listed) {
      choice.scores()[at] = estimate;
      return;
    }
    const int32_t group = (at - begin) / kGroupBlocks;
    choice.estimates()[at] = estimate;
    atomicMax(maxima + group, estimate);
    if (!kLower) return;
    choice.ranks()[at] = bound;
    atomicMax(maxima + choice.run_groups() + group, bound);
  }

  // 1. Loads the queries and the first pieces; meanwhile the mean key, and what it makes.
  // 2. Piece by piece, each one's place taken by one that is needed kDepth pieces later.
  // 3. The groups' maxima.
  // mean: shared, [head_dim].
  __device__ void Run(float* mean) const {
    Queries queries;
    Walk walk(choice, listed, begin + threadIdx.x / 32, end);
    Piece pieces[kDepth];
    {
      uint2 q[kTiles][kSteps];
      queries.Load(choice, 0, q);
#pragma unroll
      for (int i = 0; i < kDepth; ++i) walk.Load(&pieces[i]);
      MeanKey(choice.job.page, choice.Keys<Bf16Number>(0), mean);
      for (int32_t i = threadIdx.x; i < 2 * choice.run_groups(); i += kThreads) maxima[i] = 0;
      __syncthreads();
      queries.Prepare(choice, 0, q, mean);
    }
    int32_t unit = 0;
    BlockScore best;
    for (int32_t at = begin + threadIdx.x / 32; at < end;) {
#pragma unroll
      for (int i = 0; i < kDepth; ++i) {
        if (at >= end) break;
        queries.Score(pieces[i], &best);
        walk.Load(&pieces[i]);
        if (++unit < walk.units) continue;
        Store(at, best);
        best = {};
        unit = 0;
        at += kWarps;
      }
    }
    if (listed) return;
    __syncthreads();
    const int32_t first = begin / choice.plan.run_blocks * choice.run_groups();
    for (int32_t i = threadIdx.x; i < choice.run_groups(); i += kThreads) {
      choice.group_estimates()[first + i] = maxima[i];
      if (kLower) choice.group_ranks()[first + i] = maxima[choice.run_groups() + i];
    }
  }
};

// Grid: (runs, choices). shared: mean key [head_dim], maxima.
template <int kSteps, int kTiles, bool kLower>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? kRunCtas : kRunCtas)
    ScanRunsKernel(const ScanArgs args) {
  extern __shared__ float4 shared[];
  auto* mean = reinterpret_cast<float*>(shared);
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  const int32_t columns = choice.column_count();
  if (choice.ReadsNothing() || !choice.ByCodes()) return;
  if (columns > 4 * kTiles || columns <= 4 * (kTiles - 1)) return;
  if (choice.plan.coarse_first != (args.reading != Reading::kFull)) return;
  const bool listed = args.reading == Reading::kListed;
  const int32_t blocks = listed ? choice.state().first_count : choice.distant();
  const int32_t run = listed ? (blocks + gridDim.x - 1) / gridDim.x : choice.plan.run_blocks;
  const int32_t begin = blockIdx.x * run, end = min(begin + run, blocks);
  if (begin >= end) return;
  RunScan<kSteps, kTiles, kLower>{choice, listed, begin, end,
                                  reinterpret_cast<uint32_t*>(mean + 16 * kSteps)}
      .Run(mean);
}

// Many columns are bound by the matrix units: four tiles share the unpacking of codes. A CTA takes
// a group; its warps share out the columns (with z), and what warps are left the blocks.
template <int kSteps>
__global__ void __launch_bounds__(128, 3) ScanTilesKernel(const RetrievalJob job) {
  constexpr int kTiles = 4, kTileWarps = 4, kColumns = 8 * kTiles;
  __shared__ __align__(16) float mean[16 * kSteps];
  const Choice choice(job, blockIdx.y);
  FollowStage();
  const int32_t columns = choice.column_count(), warp = threadIdx.x / 32;
  if (choice.ReadsNothing() || !choice.ByCodes() || columns <= kFewColumns) return;
  const int32_t across = columns > 2 * kColumns ? 4 : columns > kColumns ? 2 : 1;
  const int32_t first = (blockIdx.z * across + warp % across) * kColumns;
  if (blockIdx.z * across * kColumns >= columns || blockIdx.x >= choice.groups()) return;
  MeanKey(job.page, choice.Keys<Bf16Number>(0), mean);
  __syncthreads();
  if (first >= columns) return;
  QueryTiles<kSteps, kTiles> tiles;
  tiles.Load(choice, first);
  tiles.Prepare(choice, first, mean);
  const int32_t begin = choice.GroupBegin(blockIdx.x), end = choice.GroupEnd(blockIdx.x);
  BlockScore of_group;
  for (int32_t at = begin + warp / across; at < end; at += kTileWarps / across) {
    const int32_t block = choice.plan.request.first + at;
    std::byte* head = job.codes.Head(choice.Tile(block), choice.kv_head);
    BlockScore best;
    typename QueryTiles<kSteps, kTiles>::Piece piece, next;
    next.Load(job.codes, head, block % memory::kTileBlocks, 0);
    for (int32_t group = 0; group < job.page.block_size / 16; ++group) {
      piece = next;
      if (group + 1 < job.page.block_size / 16) {
        next.Load(job.codes, head, block % memory::kTileBlocks, group + 1);
      }
      tiles.Score(piece, &best);
    }
    of_group.Add(best.estimate, best.bound);
    const uint32_t estimate = __reduce_max_sync(~0u, RankOf(best.estimate));
    const uint32_t bound = __reduce_max_sync(~0u, RankOf(best.bound + kUnderflow));
    if (threadIdx.x % 32 != 0) continue;
    atomicMax(choice.estimates() + at, estimate);
    atomicMax(choice.ranks() + at, bound);
  }
  const uint32_t estimate = __reduce_max_sync(~0u, RankOf(of_group.estimate));
  const uint32_t bound = __reduce_max_sync(~0u, RankOf(of_group.bound + kUnderflow));
  if (threadIdx.x % 32 != 0) return;
  atomicMax(choice.group_estimates() + blockIdx.x, estimate);
  atomicMax(choice.group_ranks() + blockIdx.x, bound);
}

// The same bounds without matrix units: a warp a block, a lane a token. Any head_dim.
template <typename T>
__device__ BlockScore PlainScore(const Choice& choice, int32_t block, const float* mean) {
  const CodeLayout& codes = choice.job.codes;
  const int32_t of = block % memory::kTileBlocks;
  std::byte* head = codes.Head(choice.Tile(block), choice.kv_head);
  const float rho = *codes.Rho(head, of);
  BlockScore best;
  if (!(rho < INFINITY)) best = {INFINITY, INFINITY};
  for (int32_t t = threadIdx.x % 32; t < codes.block_size; t += 32) {
    const float scale = ToFloat(codes.Scales(head, of)[CodeLayout::ScaleIndex(t)]);
    for (int32_t column = 0; column < choice.column_count(); ++column) {
      const T* q = choice.Query<T>(column);
      QuerySums facts;
      float sum = 0;
      for (int32_t d = 0; d < choice.job.page.head_dim; ++d) {
        const uint32_t word = StepWord(codes, codes.Upper(head, of), codes.Lower(head, of), t / 16,
                                       CodeWord::Lane(t, d), d / 16);
        const auto code = static_cast<float>(word >> CodeWord::Shift(t, d) & 15);
        sum = fmaf(ToFloat(q[d]), code - 7.5f, sum);
        facts.Add(ToFloat(q[d]), mean[d]);
      }
      const float bound = fmaf(scale, fmaf(facts.Norm(), rho, sum), facts.dot);
      best.Add(fmaf(scale, sum, facts.dot), fmaxf(facts.Floor(), bound));
    }
  }
  return best;
}

template <typename T>
__global__ void ScanCodesPlainKernel(const RetrievalJob job) {
  extern __shared__ float mean[];  // [head_dim]
  const Choice choice(job, blockIdx.y);
  FollowStage();
  if (choice.ReadsNothing() || !choice.ByCodes() || blockIdx.x >= choice.groups()) return;
  MeanKey(job.page, choice.Keys<T>(0), mean);
  __syncthreads();
  const int32_t end = choice.GroupEnd(blockIdx.x);
  for (int32_t at = choice.GroupBegin(blockIdx.x) + threadIdx.x / 32; at < end; at += kWarps) {
    const BlockScore best = PlainScore<T>(choice, choice.plan.request.first + at, mean);
    const uint32_t estimate = __reduce_max_sync(~0u, RankOf(best.estimate));
    const uint32_t bound = __reduce_max_sync(~0u, RankOf(best.bound + kUnderflow));
    if (threadIdx.x % 32 != 0) continue;
    choice.estimates()[at] = estimate;
    choice.ranks()[at] = bound;
    atomicMax(choice.group_estimates() + blockIdx.x, estimate);
    atomicMax(choice.group_ranks() + blockIdx.x, bound);
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
  // These choices' blocks are one run.
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
void LaunchRuns(Reading reading, const RetrievalJob& job, const RetrievalShape& shape,
                Context* context) {
  const int32_t run_blocks = static_cast<int32_t>(CeilDiv(shape.rank_room, shape.runs));
  const size_t shared = job.page.head_dim * sizeof(float) +
                        2 * CeilDiv(run_blocks, kGroupBlocks) * sizeof(uint32_t);
  const auto launch = [&](void (*kernel)(ScanArgs)) {
    context->queue->Launch(kernel, dim3(shape.runs, shape.choices), dim3(kThreads), shared,
                           ScanArgs{job, reading}, Overlap::kPrologue);
  };
  const bool coarse = reading == Reading::kCoarse;
  if (shape.one_tile) launch(coarse ? ScanRunsKernel<kSteps, 1, false> : ScanRunsKernel<kSteps, 1, true>);
  if (shape.two_tiles) launch(coarse ? ScanRunsKernel<kSteps, 2, false> : ScanRunsKernel<kSteps, 2, true>);
}

void ScanRuns(Reading reading, const RetrievalJob& job, const RetrievalShape& shape,
              Context* context) {
  if (job.page.head_dim == 64) LaunchRuns<4>(reading, job, shape, context);
  if (job.page.head_dim == 128) LaunchRuns<8>(reading, job, shape, context);
}

}  // namespace

int32_t ScanRunsFor(const RetrievalShape& shape, const Context& context) {
  // Many rounds of CTAs even out the end, but a CTA needs blocks to make up for its start.
  constexpr int32_t kEnough = 128;
  const int64_t places = int64_t{context.processors} * kRunCtas;
  for (int64_t rounds = 8; rounds > 1; rounds /= 2) {
    const int64_t runs = places * rounds / shape.choices;
    if (runs > 0 && shape.rank_room / runs >= kEnough) return static_cast<int32_t>(runs);
  }
  return static_cast<int32_t>(std::clamp<int64_t>(places / shape.choices, 1, shape.rank_room));
}

void ScanDistantBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  LaunchQueue* queue = context->queue;
  const dim3 grid(shape.rank_room / kGroupBlocks, shape.choices);
  if (shape.many_columns || shape.by_summary || shape.by_keys) {
    const dim3 clearing(std::min<uint32_t>(grid.x, 16), shape.choices);
    queue->Launch(ClearRanksKernel, clearing, dim3(kThreads), 0, job, Overlap::kPrologue);
  }
  const bool plain = shape.many_columns && !shape.matrix_units;
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (plain) {
      queue->Launch(ScanCodesPlainKernel<T>, grid, dim3(kThreads),
                    job.page.head_dim * sizeof(float), job, Overlap::kPrologue);
    }
    if (shape.by_summary) {
      queue->Launch(ScanSummariesKernel<T>, grid, dim3(kThreads), 0, job, Overlap::kPrologue);
    }
  });
  if (shape.full) ScanRuns(Reading::kFull, job, shape, context);
  if (shape.coarse_first) ScanRuns(Reading::kCoarse, job, shape, context);
  if (!shape.many_columns || plain) return;
  const dim3 tiles(grid.x, shape.choices, CeilDiv(shape.columns, 128));
  queue->Launch(job.page.head_dim == 64 ? ScanTilesKernel<4> : ScanTilesKernel<8>, tiles, dim3(128),
                0, job, Overlap::kPrologue);
}

void ScanListedBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  ScanRuns(Reading::kListed, job, shape, context);
}

}  // namespace eidetic::cuda
