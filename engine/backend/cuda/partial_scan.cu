#include <algorithm>

#include "engine/backend/cuda/kept_choice.h"
#include "engine/backend/cuda/partial_query.h"
#include "engine/backend/cuda/partial_scan.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;
constexpr int32_t kLeastRun = kWarps * 5 / 2;  // tiles of a CTA
// Channels of one step: their words are under way together, the next step's too.
constexpr int32_t kStep = 8;
// A number below 2^16 with these bits before it is 2^23 more as a float.
constexpr uint32_t kFloatBits = 0x4B000000;

// Channels and weights as the scan reads them.
template <int kColumns>
struct ChannelTable {
  __align__(16) int32_t offset[PartialQuery::kMostChannels];  // of a channel's codes, in bytes
  __align__(16) int32_t weight[PartialQuery::kMostChannels][kColumns];
  uint32_t start[kColumns];
  float column_offset[kColumns], unit[kColumns], shift[kColumns];

  __device__ void Fill(const PartialQuery& query) {
    for (int32_t i = threadIdx.x; i < query.channels; i += kThreads) {
      offset[i] = query.channel[i] * (memory::kTileBlocks * kFastBlock / 2);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) weight[i][c] = query.weight[c][i];
    }
    const int32_t c = threadIdx.x;
    if (c >= kColumns) return;
    start[c] = query.start[c], column_offset[c] = query.offset[c];
    unit[c] = query.unit[c], shift[c] = query.shift[c];
  }
  // A lane's half of a block: 16 tokens of each channel.
  __device__ void Load(const std::byte* head, int32_t first, uint2 (&words)[kStep]) const {
    const std::byte* from = head + threadIdx.x % 32 * 8;
#pragma unroll
    for (int i = 0; i < kStep; i += 4) {
      const int4 at = *reinterpret_cast<const int4*>(offset + first + i);
      words[i] = *reinterpret_cast<const uint2*>(from + at.x);
      words[i + 1] = *reinterpret_cast<const uint2*>(from + at.y);
      words[i + 2] = *reinterpret_cast<const uint2*>(from + at.z);
      words[i + 3] = *reinterpret_cast<const uint2*>(from + at.w);
    }
  }
};

// Of 16 tokens, two a word: token 8 j + i in the lower half of [j][i], token 8 j + i + 4 above.
template <int kColumns>
struct TokenSums {
  uint32_t sums[kColumns][2][4];

  __device__ void Start(const uint32_t* start) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int k = 0; k < 8; ++k) sums[c][k / 4][k % 4] = start[c];
    }
  }
  // Both halves are whole numbers below 2^16 in the end, so what they carry in between cancels.
  __device__ void Add(const ChannelTable<kColumns>& table, int32_t first,
                      const uint2 (&words)[kStep]) {
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const uint32_t codes = (k < 4 ? words[i].x : words[i].y) >> (4 * (k % 4)) & 0x000F000Fu;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          sums[c][k / 4][k % 4] += codes * static_cast<uint32_t>(table.weight[first + i][c]);
        }
      }
    }
  }
  // The largest sum times its token's scale. scales: bf16 of 16 tokens.
  __device__ float Best(int column, float offset, const uint32_t (&scales)[8]) const {
    float best = -INFINITY;
#pragma unroll
    for (int token = 0; token < 16; ++token) {
      const uint32_t pair = sums[column][token / 8][token % 4];
      const uint32_t number = __byte_perm(pair, kFloatBits, token % 8 < 4 ? 0x7610 : 0x7632);
      const uint32_t scale = scales[token / 2];
      best = fmaxf(best, (__uint_as_float(number) - offset) *
                             __uint_as_float(token % 2 == 0 ? scale << 16 : scale & 0xFFFF0000u));
    }
    return best;
  }
};

// A block's scales, and rho, of a lane's half.
struct TileFacts {
  uint32_t scales[8];
  float rho;

  __device__ TileFacts(const CodeLayout& codes, std::byte* head) {
    const int32_t lane = threadIdx.x % 32;
    const uint4* from = reinterpret_cast<const uint4*>(codes.Scales(head, 0)) + 2 * lane;
    const uint4 first = from[0], second = from[1];
    scales[0] = first.x, scales[1] = first.y, scales[2] = first.z, scales[3] = first.w;
    scales[4] = second.x, scales[5] = second.y, scales[6] = second.z, scales[7] = second.w;
    rho = *codes.Rho(head, lane / 2);
  }
};

// Two lanes a block: its score, its bin.
template <int kColumns>
__device__ void StoreScores(const Choice& choice, int32_t tile, const TokenSums<kColumns>& sums,
                            const TileFacts& facts, const ChannelTable<kColumns>& table) {
  float best = -INFINITY;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const float score = sums.Best(c, table.column_offset[c], facts.scales);
    best = fmaxf(best, fmaf(table.unit[c], score, table.shift[c]));
  }
  best = fmaxf(best, __shfl_xor_sync(~0u, best, 1));
  if (!(facts.rho < INFINITY)) best = INFINITY;
  const int32_t lane = threadIdx.x % 32;
  const int32_t at = tile * memory::kTileBlocks + lane / 2 - choice.plan.request.first;
  if (lane % 2 != 0 || at < 0 || at >= choice.distant()) return;
  choice.partial_scores()[at] = best;
  atomicAdd(choice.bins() + PartialBin(best), 1u);
}

struct PartialArgs {
  RetrievalJob job;
  int32_t run_tiles;  // of one CTA
};

// Grid: (runs, choices). A warp a tile, two lanes a block: a row of 256 bytes a channel.
// 1. The table of channels. 2. Steps of channels, each one's words loaded a step ahead, over the
//    ends of tiles too. 3. The best token.
template <int kColumns>
__global__ void __launch_bounds__(kThreads, kColumns == 1   ? 3
                                            : kColumns == 4 ? 2
                                                            : 1)
    PartialScanKernel(const PartialArgs args) {
  __shared__ ChannelTable<kColumns> table;
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  if (!choice.plan.partial) return;
  const RetrievalRequest& request = choice.plan.request;
  const int32_t first = request.first / memory::kTileBlocks + blockIdx.x * args.run_tiles;
  const int32_t end = min(first + args.run_tiles, (request.last - 1) / memory::kTileBlocks + 1);
  if (first >= end) return;
  const PartialQuery& query = choice.partial();
  table.Fill(query);
  const int32_t channels = query.channels;
  __syncthreads();
  int32_t tile = first + threadIdx.x / 32;
  if (tile >= end) return;
  std::byte* head = choice.Codes(tile * memory::kTileBlocks);
  uint2 even[kStep], odd[kStep];
  table.Load(head, 0, even);
  while (tile < end) {
    const int32_t next = tile + kWarps;
    std::byte* next_head = choice.Codes(min(next, end - 1) * memory::kTileBlocks);
    const TileFacts facts(choice.job.codes, head);
    TokenSums<kColumns> sums;
    sums.Start(table.start);
    for (int32_t at = 0; at < channels; at += 2 * kStep) {
      table.Load(head, at + kStep, odd);
      sums.Add(table, at, even);
      const bool more = at + 2 * kStep < channels;
      if (more || next < end) table.Load(more ? head : next_head, more ? at + 2 * kStep : 0, even);
      sums.Add(table, at + kStep, odd);
    }
    StoreScores(choice, tile, sums, facts, table);
    tile = next;
    head = next_head;
  }
}

}  // namespace

void ScanPartially(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  LaunchQueue* queue = context->queue;
  PreparePartialQueries(job, shape, context);
  // One tile more than blocks fill: the first distant block stands within one. Four rounds of three
  // CTAs a multiprocessor even out the end; where a warp would have fewer tiles than two or three,
  // beginning takes longer than that gains.
  const int64_t tiles = shape.rank_room / memory::kTileBlocks + 1;
  const int64_t ctas = int64_t{context->processors} * 3 * 4;
  const int64_t run = std::max<int64_t>(CeilDiv(tiles * shape.choices, ctas), kLeastRun);
  const dim3 grid(CeilDiv(tiles, run), shape.choices);
  const auto launch = [&](void (*kernel)(PartialArgs)) {
    queue->Launch(kernel, grid, dim3(kThreads), 0, PartialArgs{job, static_cast<int32_t>(run)},
                  Overlap::kPrologue);
  };
  const int32_t columns = ScannedColumns(shape);
  launch(columns == 1   ? PartialScanKernel<1>
         : columns == 4 ? PartialScanKernel<4>
                        : PartialScanKernel<kFewColumns>);
  ChooseAmongKept(job, shape, context);
}

}  // namespace eidetic::cuda
