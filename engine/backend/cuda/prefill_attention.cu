#include "engine/backend/cuda/prefill_attention.h"
#include "engine/backend/cuda/prefill_tile.cuh"

namespace eidetic::cuda {
namespace {

// What a CTA works on: queries [first, first + kTileQueries) of a chunk and a KV head, where
// query f is row f / group and query head f % group: they all read the same keys. Example,
// group 4: query 6 is row 1, head 2.
struct QueryTile {
  AttentionChunk chunk;
  int32_t kv_head, group;
  int32_t first, total;  // queries
  int32_t row_ends;      // tokens of the list that row 0 sees

  __device__ int32_t Row(int32_t f) const { return min(f, total - 1) / group; }
  // How many tokens of the list query f sees.
  __device__ int32_t End(int32_t f) const { return row_ends + Row(f); }
};

__device__ inline QueryTile TileOf(const SpanArgs& args, const SpanAttentionRequest& request) {
  QueryTile tile{.chunk = args.chunks[request.chunk],
                 .kv_head = static_cast<int32_t>(blockIdx.y),
                 .group = args.group};
  tile.total = static_cast<int32_t>(tile.chunk.row_count) * args.group;
  // The last rows see most: they go first.
  tile.first = static_cast<int32_t>(gridDim.x - 1 - blockIdx.x) * kTileQueries;
  tile.row_ends = (request.sink_blocks + request.span_count) * args.layout.block_size +
                  static_cast<int32_t>(tile.chunk.begin - request.window_begin) + 1;
  return tile;
}

// The tile's queries, times scale * log2(e) and turned to their positions; zeros past the last.
template <int kHeadDim>
__device__ void PlaceQueries(const SpanArgs& args, const QueryTile& tile, const BlockList& list,
                             Bf16Number* to) {
  constexpr int32_t kPairs = kHeadDim / 16;
  const int32_t size = args.layout.block_size;
  const ChunkPair pair = PairOfChunks<kHeadDim>(threadIdx.x % kPairs, args.rope.half);
  for (int32_t i = threadIdx.x; i < kTileQueries * kPairs; i += kPrefillThreads) {
    const int32_t f = tile.first + i / kPairs, row = tile.Row(f);
    const int64_t position = list.PositionOf(tile.chunk.begin + row, size);
    uint4 low{}, high{};
    if (f < tile.total) {
      const auto* q = static_cast<const Bf16Number*>(args.q) +
                      (tile.chunk.row_begin + row) * args.q_stride +
                      (tile.kv_head * tile.group + f % tile.group) * kHeadDim;
      low = *reinterpret_cast<const uint4*>(q + pair.low * 8);
      high = *reinterpret_cast<const uint4*>(q + pair.high * 8);
    }
    PlaceTurned<kHeadDim>(args.rope, pair, low, high, static_cast<int32_t>(position / size),
                          static_cast<int32_t>(position % size), args.scale * M_LOG2Ef, i / kPairs,
                          to);
  }
}

template <int kHeadDim>
__device__ void WriteQueries(const SpanArgs& args, const QueryTile& tile, int32_t first,
                             const QueryWarp<kHeadDim>& warp) {
  const int32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int32_t f = first + lane / 4 + 8 * r;
    if (f >= tile.total) continue;
    const int64_t at = (tile.chunk.row_begin + f / tile.group) * args.q_heads +
                       tile.kv_head * tile.group + f % tile.group;
    auto* out = reinterpret_cast<uint32_t*>(static_cast<Bf16Number*>(args.out) + at * kHeadDim);
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) out[4 * n + lane % 4] = warp.Out(r, n);
    if (args.lse != nullptr && lane % 4 == 0) args.lse[at] = warp.Lse(r);
  }
}

// grid: (tiles of the longest chunk, KV heads, picked requests).
// 1. The queries are turned into shared memory, and from there each warp takes its 16.
// 2. While the warps attend to a tile of 64 tokens, the next tile's keys come into registers and
//    its values into the other half of shared memory, and four threads look up the addresses of
//    the tile after it. Then the keys are turned to their positions into shared memory.
// 3. A warp leaves out the tiles that none of its rows sees.
// 128 queries share the turning of a key, which takes as many instructions as some of them do.
// 64 tokens: scores, outputs, queries and the next keys are 144 registers a thread at 128
// channels, so one CTA of 8 warps has a multiprocessor to itself.
template <int kHeadDim>
__global__ void __launch_bounds__(kPrefillThreads, 1) PrefillAttentionKernel(const SpanArgs args) {
  extern __shared__ uint4 raw[];
  auto& shared = *reinterpret_cast<PrefillShared<kHeadDim>*>(raw);
  const SpanAttentionRequest& request = PickedRequest(args, blockIdx.z);
  const QueryTile tile = TileOf(args, request);
  if (tile.first >= tile.total) return;
  const BlockList list(args, request, tile.kv_head);
  const int32_t end = tile.End(tile.first + kTileQueries - 1);
  const int32_t tiles = (end + kTileTokens - 1) / kTileTokens;
  const auto look_up = [&](int32_t number) {
    return GroupAt(args, list, tile.chunk.pages, tile.kv_head,
                   number * kTileTokens + static_cast<int32_t>(threadIdx.x) * 16, end);
  };
  const bool looks_up = threadIdx.x < kTileTokens / 16;
  if (looks_up) {
    shared.groups[0][threadIdx.x] = look_up(0);
    shared.groups[1][threadIdx.x] = look_up(1);
  }
  PlaceQueries<kHeadDim>(args, tile, list, shared.queries);
  __syncthreads();
  KeyPieces<kHeadDim> pieces;
  pieces.Load(shared.groups[0], args.rope.half, end);
  CopyValues<kHeadDim>(args, shared.groups[0], end, shared.values[0]);
  pieces.Place(shared.groups[0], args.rope, shared.keys[0]);
  const int32_t first = tile.first + static_cast<int32_t>(threadIdx.x) / 32 * 16;
  const int32_t own = first + static_cast<int32_t>(threadIdx.x) % 32 / 4;
  QueryWarp<kHeadDim> warp(shared.queries, first - tile.first, {tile.End(own), tile.End(own + 8)});
  const int32_t warp_end = first < tile.total ? tile.End(first + 15) : 0;
  for (int32_t i = 0; i < tiles; ++i) {
    WaitForCopies();
    __syncthreads();
    const int32_t x = i * kTileTokens, now = i % 2, next = 1 - now;
    const TokenGroup* groups = shared.groups[next];
    TokenGroup later{};
    if (looks_up) later = look_up(i + 2);
    if (i + 1 < tiles) {
      pieces.Load(groups, args.rope.half, end - x - kTileTokens);
      CopyValues<kHeadDim>(args, groups, end - x - kTileTokens, shared.values[next]);
    }
    if (x < warp_end) warp.Attend(shared.keys[now], shared.values[now], x);
    if (i + 1 < tiles) pieces.Place(groups, args.rope, shared.keys[next]);
    if (looks_up) shared.groups[now][threadIdx.x] = later;
  }
  if (first >= tile.total) return;
  warp.Finish();
  WriteQueries<kHeadDim>(args, tile, first, warp);
}

template <int kHeadDim>
void LaunchPrefill(const SpanArgs& args, int64_t max_rows, LaunchQueue* queue) {
  const int64_t tiles = CeilDiv(max_rows * args.group, kTileQueries);
  queue->Launch(PrefillAttentionKernel<kHeadDim>,
                dim3(tiles, args.layout.kv_heads, args.pick.count), dim3(kPrefillThreads),
                sizeof(PrefillShared<kHeadDim>), args);
}

}  // namespace

void PrefillAttention(const SpanArgs& args, int64_t max_rows, LaunchQueue* queue) {
  if (args.layout.head_dim == 128) {
    LaunchPrefill<128>(args, max_rows, queue);
  } else {
    LaunchPrefill<64>(args, max_rows, queue);
  }
}

}  // namespace eidetic::cuda
