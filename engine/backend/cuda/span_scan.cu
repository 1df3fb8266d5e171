#include "engine/backend/cuda/span_scan.h"

#include "engine/backend/cuda/scan_ptx.cuh"

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
  const int32_t first = blockIdx.x * kFactsColumns;
  if (choice.ReadsNothing() || first >= choice.column_count()) return;
  const int32_t at = blockIdx.x * kThreads + threadIdx.x, step = gridDim.x * kThreads;
  if (blockIdx.x == 0) {
    for (int32_t i = threadIdx.x; i < choice.groups(); i += kThreads) choice.group_ranks()[i] = 0;
  }
  if (!choice.ByCodes()) return;
  for (int32_t i = at; i < choice.distant(); i += step) choice.ranks()[i] = 0;
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

// The part of a block's codes that one warp multiplies at once: 16 tokens. It is loaded long
// before it is used.
template <int kSteps>
struct CodePiece {
  uint4 words[kSteps / 4];
  Bf16Number scales[2];  // of rows g and g + 8
  float rho;

  __device__ void Load(const CodeLayout& layout, const std::byte* codes, int32_t group) {
    const int32_t lane = threadIdx.x % 32;
    const auto* pieces = reinterpret_cast<const uint4*>(codes) + group * 8 * kSteps + lane;
#pragma unroll
    for (int i = 0; i < kSteps / 4; ++i) words[i] = pieces[32 * i];
    const auto* of_tokens =
        reinterpret_cast<const Bf16Number*>(codes + layout.scales()) + group * 16 + lane / 4;
    scales[0] = of_tokens[0];
    scales[1] = of_tokens[8];
    rho = *reinterpret_cast<const float*>(codes + layout.rho());
  }
  __device__ uint32_t Word(int step) const {
    const uint4& quad = words[step / 4];
    return step % 4 == 0 ? quad.x : step % 4 == 1 ? quad.y : step % 4 == 2 ? quad.z : quad.w;
  }
};

// kTiles times 8 columns of queries, as the matrix unit's second operand; lane 4 g + t holds
// column g and the facts of columns 2 t and 2 t + 1 of each tile. Columns past the end are zero
// and score -inf.
template <int kSteps, int kTiles>
struct QueryTiles {
  uint2 q[kTiles][kSteps];
  float mean_dot[kTiles][2], norm[kTiles][2], offset[kTiles][2];
  float floor = -INFINITY;

  __device__ QueryTiles(const Choice& choice, int32_t first) {
    const int32_t lane = threadIdx.x % 32, count = choice.column_count();
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int32_t column = first + 8 * i + lane / 4;
      const Bf16Number* from = choice.Query<Bf16Number>(min(column, count - 1)) + lane % 4 * 4;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        q[i][step] = column < count ? *reinterpret_cast<const uint2*>(from + 16 * step)
                                    : make_uint2(0, 0);
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int32_t of = first + 8 * i + lane % 4 * 2 + j;
        const ColumnFacts facts =
            of < count ? choice.columns()[of] : ColumnFacts{-INFINITY, 0, 0, -INFINITY};
        mean_dot[i][j] = facts.mean_dot;
        norm[i][j] = facts.norm;
        offset[i][j] = facts.offset;
        floor = fmaxf(floor, facts.floor);
      }
    }
  }

  // The largest bound of this lane's rows and columns.
  __device__ float Bound(const CodePiece<kSteps>& piece) const {
    float sums[kTiles][4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t word = piece.Word(step);
      const uint32_t codes[4] = {CodesOf(word, 0), CodesOf(word, 1), CodesOf(word, 2),
                                 CodesOf(word, 3)};
#pragma unroll
      for (int i = 0; i < kTiles; ++i) MultiplyAdd(sums[i], codes, q[i][step].x, q[i][step].y);
    }
    float best = floor;
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float slack = fmaf(norm[i][j % 2], piece.rho, -offset[i][j % 2]);
        best = fmaxf(best, fmaf(ToFloat(piece.scales[j / 2]), sums[i][j] + slack,
                                mean_dot[i][j % 2]));
      }
    }
    return piece.rho < INFINITY ? best : INFINITY;
  }
};

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

// A warp's blocks: begin + offset, and every stride-th from there.
template <int kSteps, int kTiles>
__device__ void ScanBlocks(const Choice& choice, const QueryTiles<kSteps, kTiles>& tiles,
                           int32_t offset, int32_t stride) {
  constexpr int kDepth = ScanShape<kTiles>::kPieceBytes / (128 * kSteps) > 1
                             ? ScanShape<kTiles>::kPieceBytes / (128 * kSteps)
                             : 2;
  const CodeLayout& layout = choice.job.codes;
  const int32_t begin = blockIdx.x * kGroupBlocks, lane = threadIdx.x % 32;
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
  if (lane == 0) atomicMax(choice.group_ranks() + blockIdx.x, group_best);
}

// CTA (x, y, z): blocks [64 x, 64 x + 64) of choice y. Warps share out the columns (with z, where
// there are many), and what warps are left share out the blocks.
template <int kSteps, int kTiles>
__global__ void __launch_bounds__(32 * ScanShape<kTiles>::kWarps, ScanShape<kTiles>::kMany ? 3 : 2)
    ScanCodesKernel(const RetrievalJob job) {
  using Shape = ScanShape<kTiles>;
  const Choice choice(job, blockIdx.y);
  FollowStage();
  const int32_t columns = choice.column_count(), warp = threadIdx.x / 32;
  if (choice.ReadsNothing() || !choice.ByCodes()) return;
  if ((columns > kFewColumns) != Shape::kMany) return;
  if (blockIdx.x * kGroupBlocks >= choice.distant()) return;
  const int32_t across = columns > 2 * Shape::kTileColumns && Shape::kMany ? 4
                         : columns > Shape::kTileColumns                   ? 2
                                                                           : 1;
  const int32_t first = (blockIdx.z * across + warp % across) * Shape::kTileColumns;
  if (first >= columns) return;
  const QueryTiles<kSteps, kTiles> tiles(choice, first);
  ScanBlocks(choice, tiles, warp / across, Shape::kWarps / across);
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
    context->queue->Launch(ScanCodesKernel<kSteps, 1>, dim3(groups, shape.choices),
                           dim3(32 * ScanShape<1>::kWarps), 0, job, Overlap::kPrologue);
  }
  if (shape.many_columns) {
    using Shape = ScanShape<kManyTiles>;
    const int64_t turns = CeilDiv(shape.columns, Shape::kWarps * Shape::kTileColumns);
    context->queue->Launch(ScanCodesKernel<kSteps, kManyTiles>, dim3(groups, shape.choices, turns),
                           dim3(32 * Shape::kWarps), 0, job, Overlap::kPrologue);
  }
}

}  // namespace

void ScanDistantBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    LaunchQueue* queue = context->queue;
    queue->Launch(ColumnFactsKernel<T>,
                  dim3(CeilDiv(shape.columns, kFactsColumns), shape.choices), dim3(kThreads),
                  job.page.head_dim * sizeof(float), job, Overlap::kPrologue);
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
