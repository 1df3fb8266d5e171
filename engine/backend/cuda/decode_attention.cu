#include <algorithm>
#include <bit>

#include "engine/backend/cuda/decode_attention.h"
#include "engine/backend/cuda/decode_math.cuh"
#include "engine/backend/cuda/decode_walk.cuh"
#include "engine/backend/cuda/scratch.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 32 * kDecodeWarps;
// 256 parts bound the partial results, and are several waves of CTAs for a single long history.
constexpr int64_t kMaxParts = 256;
constexpr int32_t kMergeWarps = 8;

// How many blocks a part has, for a list of `blocks`.
__host__ __device__ constexpr int64_t PartLength(int64_t blocks, int64_t least) {
  constexpr int64_t kStep = kMaxParts * kDecodeWarps;
  const int64_t fair = (blocks + kStep - 1) / kStep * kDecodeWarps;
  return fair < least ? least : fair;
}
__host__ __device__ constexpr int64_t PartsOf(int64_t blocks, int64_t least) {
  const int64_t length = PartLength(blocks, least);
  return (blocks + length - 1) / length;
}

// Parts that a launch provides for.
int64_t LaunchedParts(int64_t max_blocks, int64_t least) {
  const int64_t short_parts = (max_blocks + least - 1) / least;
  return std::min<int64_t>(std::bit_ceil(static_cast<uint64_t>(short_parts)), kMaxParts);
}

struct DecodeArgs {
  SpanArgs span;
  float* outs;   // [picked request][q_head][parts][head_dim], not divided by their sums
  float2* sums;  // [picked request][q_head][parts]: (maximum, sum), base 2
  int32_t parts;
  int32_t least;  // blocks of a part
};

// The request of blockIdx.z, and how its row's blocks are cut.
struct DecodeRow {
  const SpanAttentionRequest& request;
  AttentionChunk chunk;
  int32_t blocks;  // of the list

  __device__ explicit DecodeRow(const SpanArgs& args)
      : request(PickedRequest(args, blockIdx.z)), chunk(args.chunks[request.chunk]) {
    const int32_t size = args.layout.block_size;
    blocks = request.sink_blocks + request.span_count +
             static_cast<int32_t>(chunk.begin / size - request.window_begin / size) + 1;
  }
};

__device__ inline void WriteRow(const SpanArgs& args, const DecodeRow& row, int32_t head,
                                int32_t channel, float out, float2 sums) {
  const int64_t at = row.chunk.row_begin * args.q_heads + head;
  static_cast<Bf16Number*>(args.out)[at * args.layout.head_dim + channel] =
      FromFloat<Bf16Number>(out / sums.y);
  if (args.lse != nullptr && channel == 0) args.lse[at] = (sums.x + log2f(sums.y)) * M_LN2f;
}

// The group's queries, times scale * log2(e), turned by the row's offset in its block; heads
// past the group are zeros.
template <int kHeadDim>
__device__ void PrepareQuery(const SpanArgs& args, const DecodeRow& row, int32_t offset,
                             DecodeShared<kHeadDim>* shared) {
  const auto* q = static_cast<const Bf16Number*>(args.q) + row.chunk.row_begin * args.q_stride +
                  int64_t{blockIdx.y} * args.group * kHeadDim;
  const float scale = args.scale * M_LOG2Ef;
  for (int32_t i = threadIdx.x; i < kHeadDim / 16 * 32; i += kThreads) {
    const int32_t step = i / 32, head = i % 32 / 4;
    const ChunkPair pair = PairOfChunks<kHeadDim>(i % 4 + step / 4 * 4, args.rope.half);
    PairOfTwo x{};
    if (head < args.group) {
      const auto at = [&](int32_t chunk, int32_t e) {
        return ToFloat(q[head * kHeadDim + chunk * 8 + step % 4 * 2 + e]) * scale;
      };
      x = {{at(pair.low, 0), at(pair.low, 1)}, {at(pair.high, 0), at(pair.high, 1)}};
    }
    if (pair.turns) {
      x = Turned(x, *reinterpret_cast<const float4*>(args.rope.offsets + offset * args.rope.half +
                                                     pair.low * 8 + step % 4 * 2));
    }
    shared->query[step][i % 32] = {x.low.x, x.low.y, x.high.x, x.high.y};
  }
}

// offsets [block_size][half] into rows of [step][pair] float4: neighbouring lanes (pairs) then
// read neighbouring pieces.
__device__ inline void PrepareOffsetTurns(const SpanArgs& args, std::byte* to) {
  const int32_t pieces = args.rope.half / 2, pairs = args.rope.half / 8;
  for (int32_t i = threadIdx.x; i < args.layout.block_size * pieces; i += kThreads) {
    const int32_t token = i / pieces, piece = i % pieces;
    auto* row = reinterpret_cast<float4*>(to + token * TurnRowBytes(args.rope.half));
    row[piece % 4 * pairs + piece / 4] = reinterpret_cast<const float4*>(args.rope.offsets)[i];
  }
}

// The warps' results into the part's, in the order of the warps.
template <int kHeadDim>
__device__ void MergeWarps(const DecodeArgs& args, const DecodeRow& row,
                           const DecodeShared<kHeadDim>& shared) {
  const SpanArgs& span = args.span;
  for (int32_t i = threadIdx.x; i < span.group * kHeadDim; i += kThreads) {
    const int32_t head = i / kHeadDim, channel = i % kHeadDim;
    float2 sums{shared.sums[0][head].x, 0.0f};
    float out = 0.0f;
#pragma unroll
    for (int w = 1; w < kDecodeWarps; ++w) sums.x = fmaxf(sums.x, shared.sums[w][head].x);
#pragma unroll
    for (int w = 0; w < kDecodeWarps; ++w) {
      const float share = Exp2(shared.sums[w][head].x - sums.x);
      sums.y += share * shared.sums[w][head].y;
      out += share * shared.out[w][head][channel];
    }
    const int32_t q_head = blockIdx.y * span.group + head;
    if (PartsOf(row.blocks, args.least) == 1) {
      WriteRow(span, row, q_head, channel, out, sums);
      continue;
    }
    const int64_t at = (int64_t{blockIdx.z} * span.q_heads + q_head) * args.parts + blockIdx.x;
    args.outs[at * kHeadDim + channel] = out;
    if (channel == 0) args.sums[at] = sums;
  }
}

// grid: (parts, KV heads, picked requests). A CTA attends one row's group of query heads to one
// part of its blocks.
// 1. Each warp has its first tile's keys and values on the way while the CTA turns the queries
//    and copies the turns by a token's offset to shared memory.
// 2. Each warp takes every fourth block; score(q at p, key at b S + j) =
//    (R(p - b S) q) . (R(j) key): keys are turned by their offset j < S, queries once a block.
// 3. The warps' results are merged; a single part is written as it is, else MergeParts follows.
// 4 warps a CTA, 3 CTAs a multiprocessor at 128 channels (168 registers a thread): 12 warps, each
// with 4 to 8 KB on the way, to cover the memory's latency. 4 CTAs at 64 channels.
template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, kHeadDim == 128 ? 3 : 4)
    DecodeAttentionKernel(const DecodeArgs args) {
  extern __shared__ float4 raw[];
  cudaGridDependencySynchronize();
  auto* shared = reinterpret_cast<DecodeShared<kHeadDim>*>(raw);
  auto* turns = reinterpret_cast<std::byte*>(shared + 1);
  const SpanArgs& span = args.span;
  const DecodeRow row(span);
  const auto part_blocks = static_cast<int32_t>(PartLength(row.blocks, args.least));
  const int32_t first = blockIdx.x * part_blocks;
  if (first >= row.blocks) return;
  const int32_t size = span.layout.block_size, own = row.blocks - 1;
  const auto own_block = static_cast<int32_t>(row.chunk.begin / size);
  const auto offset = static_cast<int32_t>(row.chunk.begin % size);
  if (threadIdx.x == 0) {
    const BlockList list(span, row.request, blockIdx.y);
    shared->part = {.list = list,
                    .pages = row.chunk.pages,
                    .first = first,
                    .end = min(first + part_blocks, row.blocks),
                    .own = own,
                    .own_base = list.Base(own, own_block),
                    .own_offset = offset,
                    .kv_head = static_cast<int32_t>(blockIdx.y)};
  }
  __syncthreads();
  DecodeWarp<kHeadDim> warp(span, shared, turns);
  warp.Start();
  PrepareQuery(span, row, offset, shared);
  PrepareOffsetTurns(span, turns);
  __syncthreads();
  warp.Run();
  __syncthreads();
  MergeWarps(args, row, *shared);
}

// grid: (1, q_heads, picked requests).
// 1. Each warp finds the largest maximum of the row's parts.
// 2. Warp w adds up parts w, w + 8, ...; a lane holds kHeadDim / 32 channels. Reads do not
//    depend on each other, so some are always on their way.
// 3. The warps' sums are added in their order.
template <int kHeadDim>
__global__ void __launch_bounds__(32 * kMergeWarps) MergePartsKernel(const DecodeArgs args) {
  constexpr int kChannels = kHeadDim / 32;
  struct alignas(4 * kChannels) Piece {
    float x[kChannels];
  };
  __shared__ Piece outs[kMergeWarps][32];
  __shared__ float sums[kMergeWarps];
  cudaGridDependencySynchronize();
  const DecodeRow row(args.span);
  const auto parts = static_cast<int32_t>(PartsOf(row.blocks, args.least));
  if (parts == 1) return;
  const int32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y;
  const int64_t first = (int64_t{blockIdx.z} * args.span.q_heads + head) * args.parts;
  float maximum = -INFINITY;
  for (int32_t p = lane; p < parts; p += 32) maximum = fmaxf(maximum, args.sums[first + p].x);
  maximum = WarpMax(maximum);
  Piece out{};
  float sum = 0.0f;
#pragma unroll 4
  for (int32_t p = warp; p < parts; p += kMergeWarps) {
    const Piece piece = reinterpret_cast<const Piece*>(args.outs + (first + p) * kHeadDim)[lane];
    const float2 part = args.sums[first + p];
    const float share = Exp2(part.x - maximum);
    sum += share * part.y;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) out.x[i] += share * piece.x[i];
  }
  outs[warp][lane] = out;
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (threadIdx.x >= kHeadDim) return;
  float total = 0.0f, value = 0.0f;
#pragma unroll
  for (int w = 0; w < kMergeWarps; ++w) {
    total += sums[w];
    value += outs[w][threadIdx.x / kChannels].x[threadIdx.x % kChannels];
  }
  WriteRow(args.span, row, head, threadIdx.x, value, {maximum, total});
}

template <int kHeadDim>
void LaunchDecode(const DecodeArgs& args, LaunchQueue* queue) {
  const SpanArgs& span = args.span;
  const auto requests = static_cast<uint32_t>(span.pick.count);
  const size_t turns =
      span.rope.half == 0 ? 0 : size_t(span.layout.block_size) * TurnRowBytes(span.rope.half);
  queue->Launch(DecodeAttentionKernel<kHeadDim>, dim3(args.parts, span.layout.kv_heads, requests),
                dim3(kThreads), sizeof(DecodeShared<kHeadDim>) + turns, args, Overlap::kPrologue);
  if (args.parts == 1) return;
  queue->Launch(MergePartsKernel<kHeadDim>, dim3(1, span.q_heads, requests), dim3(32 * kMergeWarps),
                0, args, Overlap::kPrologue);
}

}  // namespace

// 8 blocks are two a warp: short enough that a span of some 26 blocks takes a few tiles' time, long
// enough that the parts' merging is small beside them. Where rows alone make several waves of
// CTAs, what each does before its first block and the merging are dearer than a last wave. Where
// they fill a quarter of the device at most, a block a warp is soonest done.
int32_t LeastPartBlocks(int64_t heads, const Context& context) {
  constexpr int32_t kFewest = kDecodeWarps, kFew = 8, kMany = 32;
  constexpr int64_t kManyHeads = 12;  // a multiprocessor: 4 waves
  constexpr int64_t kFewHeads = 4;    // a multiprocessor for each quarter
  if (context.batch_invariant) return kFew;
  if (heads * kFewHeads <= context.processors) return kFewest;
  return heads >= kManyHeads * context.processors ? kMany : kFew;
}

size_t DecodeScratchBytes(const DecodeShape& shape) {
  const size_t parts =
      size_t(shape.requests) * shape.q_heads * LaunchedParts(shape.max_blocks, shape.least);
  return AlignedPart(parts * sizeof(float2)) + AlignedPart(parts * shape.head_dim * sizeof(float));
}

void DecodeAttention(const SpanArgs& args, const DecodeShape& shape, void* scratch,
                     LaunchQueue* queue) {
  const int64_t parts = LaunchedParts(shape.max_blocks, shape.least);
  const size_t sums = AlignedPart(args.pick.count * args.q_heads * parts * sizeof(float2));
  const DecodeArgs decode{.span = args,
                          .outs = reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + sums),
                          .sums = static_cast<float2*>(scratch),
                          .parts = static_cast<int32_t>(parts),
                          .least = shape.least};
  if (args.layout.head_dim == 128) {
    LaunchDecode<128>(decode, queue);
  } else {
    LaunchDecode<64>(decode, queue);
  }
}

}  // namespace eidetic::cuda
