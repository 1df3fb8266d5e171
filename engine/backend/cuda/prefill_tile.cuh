// A tile of keys and values in shared memory, and what a warp does with it.
//
// What: tokens are counted along the list of blocks (BlockList): token x of the list is token
//   x % S of its block x / S, and a row sees the list's tokens up to its own. A tile is 64
//   tokens of the list; S is a multiple of 16, so 16 tokens are always of one block.
//   Shared rows of kHeadDim bf16 keep their 16-byte chunk c at c ^ (row % 8): the eight rows
//   that a matrix load touches at one chunk then lie in different banks.
// Thread safety: stated per function. Ownership: none. Preconditions: as prefill_attention.h.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_TILE_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_TILE_CUH_

#include <cstdint>

#include "engine/backend/cuda/head_chunks.cuh"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/span_attention.cuh"
#include "engine/backend/cuda/warp_matrix.cuh"

namespace eidetic::cuda {

inline constexpr int32_t kPrefillThreads = 256;
inline constexpr int32_t kTileQueries = 128;  // 16 a warp
inline constexpr int32_t kTileTokens = 64;

// Where 16 tokens of a tile come from.
struct TokenGroup {
  const Bf16Number* keys;  // of the first of them; null: all past the end
  int32_t base;            // where their block stands, in blocks
  int32_t offset;          // of the first of them in the block
};

template <int kHeadDim>
struct PrefillShared {
  Bf16Number queries[kTileQueries * kHeadDim];
  Bf16Number keys[2][kTileTokens * kHeadDim];
  Bf16Number values[2][kTileTokens * kHeadDim];
  TokenGroup groups[2][kTileTokens / 16];
};

// Where a chunk of 8 channels stands in a shared row-major matrix, in numbers.
template <int kHeadDim>
__device__ inline int32_t Place(int32_t row, int32_t chunk) {
  return row * kHeadDim + (chunk ^ (row & 7)) * 8;
}

// The turns of four angles' pairs by base blocks and an offset: angles [8 * pair + 2 * step, + 2).
__device__ inline float4 TurnAt(const RopeView& rope, int32_t base, int32_t offset, int32_t angle) {
  const auto at = [&](const float2* table, int32_t row) {
    return *reinterpret_cast<const float4*>(table + int64_t{row} * rope.half + angle);
  };
  float4 turn = Compose(at(rope.offsets, offset), at(rope.low, base % kLowBlocks));
  if (base >= kLowBlocks) turn = Compose(turn, at(rope.high, base / kLowBlocks));
  return turn;
}

// Turns a chunk and its partner, multiplies them by `scale`, and leaves them in row `row`.
template <int kHeadDim>
__device__ inline void PlaceTurned(const RopeView& rope, const ChunkPair& pair, const uint4& low,
                                   const uint4& high, int32_t base, int32_t offset, float scale,
                                   int32_t row, Bf16Number* to) {
  const uint32_t in[2][4] = {{low.x, low.y, low.z, low.w}, {high.x, high.y, high.z, high.w}};
  uint32_t out[2][4];
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    PairOfTwo x{UnpackBf16(in[0][s]), UnpackBf16(in[1][s])};
    if (pair.turns) x = Turned(x, TurnAt(rope, base, offset, pair.low * 8 + 2 * s));
    out[0][s] = PackBf16(x.low.x * scale, x.low.y * scale);
    out[1][s] = PackBf16(x.high.x * scale, x.high.y * scale);
  }
  *reinterpret_cast<uint4*>(to + Place<kHeadDim>(row, pair.low)) = {out[0][0], out[0][1], out[0][2],
                                                                    out[0][3]};
  *reinterpret_cast<uint4*>(to + Place<kHeadDim>(row, pair.high)) = {out[1][0], out[1][1],
                                                                     out[1][2], out[1][3]};
}

// The 16 tokens of a list from token x on.
__device__ inline TokenGroup GroupAt(const SpanArgs& args, const BlockList& list,
                                     void* const* pages, int32_t kv_head, int32_t x, int32_t end) {
  if (x >= end) return {nullptr, 0, 0};
  const int32_t size = args.layout.block_size, n = x / size, block = list.Block(n);
  const Bf16Number* keys = args.layout.Keys<Bf16Number>(pages[block], kv_head);
  return {keys + x % size * args.layout.head_dim, list.Base(n, block), x % size};
}

// A thread's pieces of a tile's keys, on their way from memory to shared memory: all threads
// take them as items of (token, chunk pair), a token's pairs side by side.
template <int kHeadDim>
struct KeyPieces {
  static constexpr int32_t kPairs = kHeadDim / 16;
  static constexpr int32_t kItems = kTileTokens * kPairs / kPrefillThreads;
  uint4 low[kItems], high[kItems];

  // Tokens from `visible` on, counted from the tile's first, become zeros.
  __device__ void Load(const TokenGroup* groups, int32_t half, int32_t visible) {
    const ChunkPair pair = PairOfChunks<kHeadDim>(threadIdx.x % kPairs, half);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int32_t token = (threadIdx.x + i * kPrefillThreads) / kPairs;
      low[i] = high[i] = {0, 0, 0, 0};
      if (token >= visible) continue;
      const Bf16Number* row = groups[token / 16].keys + token % 16 * kHeadDim;
      low[i] = __ldg(reinterpret_cast<const uint4*>(row + pair.low * 8));
      high[i] = __ldg(reinterpret_cast<const uint4*>(row + pair.high * 8));
    }
  }
  __device__ void Place(const TokenGroup* groups, const RopeView& rope, Bf16Number* to) const {
    const ChunkPair pair = PairOfChunks<kHeadDim>(threadIdx.x % kPairs, rope.half);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int32_t token = (threadIdx.x + i * kPrefillThreads) / kPairs;
      const TokenGroup& group = groups[token / 16];
      PlaceTurned<kHeadDim>(rope, pair, low[i], high[i], group.base, group.offset + token % 16,
                            1.0f, token, to);
    }
  }
};

// All threads: a tile's values, in the background.
template <int kHeadDim>
__device__ inline void CopyValues(const SpanArgs& args, const TokenGroup* groups, int32_t visible,
                                  Bf16Number* to) {
  constexpr int32_t kChunks = kHeadDim / 8;
  const int64_t past_keys = int64_t{args.layout.kv_heads} * args.layout.block_size * kHeadDim;
#pragma unroll
  for (int32_t i = threadIdx.x; i < kTileTokens * kChunks; i += kPrefillThreads) {
    const int32_t token = i / kChunks, chunk = i % kChunks;
    const Bf16Number* from = nullptr;
    if (token < visible) {
      from = groups[token / 16].keys + past_keys + token % 16 * kHeadDim + chunk * 8;
    }
    CopyAsync16(to + Place<kHeadDim>(token, chunk), from);
  }
}

// One warp's 16 queries. Lane 4 g + t holds rows g and g + 8.
template <int kHeadDim>
class QueryWarp {
 public:
  static constexpr int kSteps = kHeadDim / 16;     // of a product over the channels
  static constexpr int kOuts = kHeadDim / 8;       // columns of 8 channels
  static constexpr int kScores = kTileTokens / 8;  // columns of 8 tokens

  // first_row: of the warp in shared `queries`. ends: how many tokens of the list the lane's
  // two rows see.
  __device__ QueryWarp(const Bf16Number* queries, int32_t first_row, int2 ends) : ends_(ends) {
    const int32_t lane = threadIdx.x % 32, row = first_row + lane % 16;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      LoadMatrices<false>(query_[s], queries + Place<kHeadDim>(row, 2 * s + lane / 16));
    }
  }

  // One step of the online softmax over the list's tokens [x, x + 64).
  __device__ void Attend(const Bf16Number* keys, const Bf16Number* values, int32_t x) {
    float scores[kScores][4];
    Score(keys, scores);
    Mask(x, scores);
    Weigh(scores);
    AddValues(values, scores);
  }

  // The sums' lanes come together; then out and (maximum, sum) of row g + 8 r are final.
  __device__ void Finish() {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum_[r] += __shfl_xor_sync(~0u, sum_[r], 1);
      sum_[r] += __shfl_xor_sync(~0u, sum_[r], 2);
    }
  }
  // Channels 8 column + 2t and the next of row g + 8 r, as two bf16.
  __device__ uint32_t Out(int r, int column) const {
    return PackBf16(out_[column][2 * r] / sum_[r], out_[column][2 * r + 1] / sum_[r]);
  }
  __device__ float Lse(int r) const { return (maximum_[r] + log2f(sum_[r])) * M_LN2f; }

 private:
  __device__ void Score(const Bf16Number* keys, float (&scores)[kScores][4]) const;
  __device__ void Mask(int32_t x, float (&scores)[kScores][4]) const;
  __device__ void Weigh(float (&scores)[kScores][4]);
  __device__ void AddValues(const Bf16Number* values, const float (&weights)[kScores][4]);

  int2 ends_;
  uint32_t query_[kSteps][4];
  float out_[kOuts][4] = {};
  float maximum_[2] = {-INFINITY, -INFINITY}, sum_[2] = {};  // sum: of the lane's own columns
};

// Matrices of a load: tokens 0-7 and 8-15 of 16, two chunks each.
template <int kHeadDim>
__device__ void QueryWarp<kHeadDim>::Score(const Bf16Number* keys,
                                           float (&scores)[kScores][4]) const {
  const int32_t lane = threadIdx.x % 32;
  const int32_t token = lane / 16 * 8 + lane % 8, chunk = lane / 8 % 2;
#pragma unroll
  for (int n = 0; n < kScores; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
  }
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
#pragma unroll
    for (int n = 0; n < kScores / 2; ++n) {
      uint32_t b[4];
      LoadMatrices<false>(b, keys + Place<kHeadDim>(16 * n + token, 2 * s + chunk));
      const uint32_t(&a)[4] = query_[s];
      Multiply16x8x16(scores[2 * n], a[0], a[1], a[2], a[3], b[0], b[1]);
      Multiply16x8x16(scores[2 * n + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
    }
  }
}

// scores[n][i] is of token x + 8 n + 2t + i % 2 and row g + i / 2 * 8.
template <int kHeadDim>
__device__ void QueryWarp<kHeadDim>::Mask(int32_t x, float (&scores)[kScores][4]) const {
  if (x + kTileTokens <= min(ends_.x, ends_.y)) return;
  const int32_t first = x + threadIdx.x % 4 * 2;
#pragma unroll
  for (int n = 0; n < kScores; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first + 8 * n + i % 2 >= (i < 2 ? ends_.x : ends_.y)) scores[n][i] = -INFINITY;
    }
  }
}

// Every row sees token 0 of the list, so its maximum is finite from the first tile on.
template <int kHeadDim>
__device__ void QueryWarp<kHeadDim>::Weigh(float (&scores)[kScores][4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float maximum = maximum_[r];
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
      maximum = fmaxf(maximum, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    }
    maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 1));
    maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 2));
    const float scale = Exp2(maximum_[r] - maximum);
    maximum_[r] = maximum;
    sum_[r] *= scale;
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        scores[n][2 * r + e] = Exp2(scores[n][2 * r + e] - maximum);
        sum_[r] += scores[n][2 * r + e];
      }
    }
#pragma unroll
    for (int n = 0; n < kOuts; ++n) {
      out_[n][2 * r] *= scale;
      out_[n][2 * r + 1] *= scale;
    }
  }
}

// Matrices of a load, turned over: tokens 0-7 and 8-15 of 16, of two chunks.
template <int kHeadDim>
__device__ void QueryWarp<kHeadDim>::AddValues(const Bf16Number* values,
                                               const float (&weights)[kScores][4]) {
  const int32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kTileTokens / 16; ++k) {
    const float(&w)[4] = weights[2 * k];
    const float(&v)[4] = weights[2 * k + 1];
    const uint32_t a0 = PackBf16(w[0], w[1]), a1 = PackBf16(w[2], w[3]);
    const uint32_t a2 = PackBf16(v[0], v[1]), a3 = PackBf16(v[2], v[3]);
#pragma unroll
    for (int n = 0; n < kOuts / 2; ++n) {
      uint32_t b[4];
      LoadMatrices<true>(b, values + Place<kHeadDim>(16 * k + lane % 16, 2 * n + lane / 16));
      Multiply16x8x16(out_[2 * n], a0, a1, a2, a3, b[0], b[1]);
      Multiply16x8x16(out_[2 * n + 1], a0, a1, a2, a3, b[2], b[3]);
    }
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_TILE_CUH_
