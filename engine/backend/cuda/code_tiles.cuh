// Codes and queries as the matrix units take them, and the bounds that they make.
//
// What: a code tile is four blocks of 32 tokens. Its 16 rows are words of eight tokens: row
//   4 b + w is word w of block b, so that eight products, one a nibble, cover them all.
// Thread safety: whole warps call everything together. Ownership: borrows everything.
// Preconditions: head_dim is 16 kSteps, block_size kFastBlock; queries are aligned to 8 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_

#include "engine/backend/cuda/scan_ptx.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

inline constexpr int32_t kTileOfBlocks = 4;

// What a block comes out as: its best estimate q . khat, and its best bound.
struct BlockScore {
  float estimate = -INFINITY, bound = -INFINITY;

  __device__ void Add(float other_estimate, float other_bound) {
    estimate = fmaxf(estimate, other_estimate);
    bound = fmaxf(bound, other_bound);
  }
};

// Lane 4 g + t has rows g and g + 8, channels 4 t to 4 t + 3 of each step of 16.
template <int kSteps>
struct CodeTile {
  // Of channels 4 t and 4 t + 1, then of 4 t + 2 and 4 t + 3: as loaded a channel's word each; by
  // Pair the lower halves (tokens 0 to 3) of both, then the upper ones.
  uint32_t words[2][kSteps][4];  // [row]
  uint4 scales[2];
  float rho[2];

  // heads: where the codes of this lane's two rows' blocks begin, their channel 0's first word.
  __device__ void Load(std::byte* const (&heads)[2], const int32_t (&blocks)[2]) {
    const int32_t lane = threadIdx.x % 32, word = lane / 4 % 4;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int32_t of = blocks[row] % memory::kTileBlocks;
      const std::byte* from = heads[row] + lane % 4 * 4 * kChannelBytes + of * 16 + word * 4;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          words[row][step][i] =
              *reinterpret_cast<const uint32_t*>(from + (16 * step + i) * kChannelBytes);
        }
      }
      const std::byte* facts = heads[row] + 16 * kSteps * kChannelBytes;
      scales[row] = *reinterpret_cast<const uint4*>(facts + of * 64 + word * 16);
      rho[row] = *reinterpret_cast<const float*>(facts + memory::kTileBlocks * 64 + of * 4);
    }
  }
  __device__ void Pair() {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const uint32_t first = words[row][step][i], second = words[row][step][i + 1];
          words[row][step][i] = __byte_perm(first, second, 0x5410);
          words[row][step][i + 1] = __byte_perm(first, second, 0x7632);
        }
      }
    }
  }
  // Token i of all rows as a product's first operand.
  __device__ void Codes(int step, int i, uint32_t (&a)[4]) const {
    a[0] = CodesOf(words[0][step][i / 4], i % 4);
    a[1] = CodesOf(words[1][step][i / 4], i % 4);
    a[2] = CodesOf(words[0][step][2 + i / 4], i % 4);
    a[3] = CodesOf(words[1][step][2 + i / 4], i % 4);
  }
  __device__ float Scale(int row, int i) const {
    const uint4& all = scales[row];
    const uint32_t pair = i / 2 == 0 ? all.x : i / 2 == 1 ? all.y : i / 2 == 2 ? all.z : all.w;
    return __uint_as_float(i % 2 == 0 ? pair << 16 : pair & 0xFFFF0000u);
  }

 private:
  static constexpr int32_t kChannelBytes = memory::kTileBlocks * kFastBlock / 2;
};

// Sums over a query's channels, of which a lane has some.
struct QuerySums {
  float dot = 0, sum = 0, size = 0, squares = 0;

  __device__ void Add(float q, float mean) {
    dot = fmaf(q, mean, dot);
    sum += q;
    size += fabsf(q);
    squares = fmaf(q, q, squares);
  }
  // Of `lanes` lanes that stand together.
  __device__ void Merge(int lanes) {
    for (int i = 1; i < lanes; i *= 2) {
      dot += __shfl_xor_sync(~0u, dot, i);
      sum += __shfl_xor_sync(~0u, sum, i);
      size += __shfl_xor_sync(~0u, size, i);
      squares += __shfl_xor_sync(~0u, squares, i);
    }
  }
  // At least |q|. Where squares underflow the sum of magnitudes is a norm too, only larger.
  __device__ float Norm() const { return kNormMargin * (squares > 1e-30f ? sqrtf(squares) : size); }
  // Of every bound: inf when the query bounds nothing, as for NaN.
  __device__ float Floor() const { return Norm() < kLargestNorm ? -INFINITY : INFINITY; }
};

// kTiles times 8 columns of queries, as the matrix unit's second operand; lane 4 g + t holds
// column g and the facts of columns 2 t and 2 t + 1 of each tile. Columns past the end are zero
// and score -inf.
template <int kSteps, int kTiles>
struct QueryTiles {
  uint2 q[kTiles][kSteps];
  float mean_dot[kTiles][2], norm[kTiles][2], offset[kTiles][2];
  float floor = -INFINITY;

  // mean: [16 kSteps]
  __device__ QueryTiles(const Choice& choice, int32_t first, const float* mean) {
    const int32_t lane = threadIdx.x % 32, count = choice.column_count();
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int32_t column = first + 8 * i + lane / 4;
      const Bf16Number* from = choice.Query<Bf16Number>(min(column, count - 1)) + lane % 4 * 4;
      QuerySums sums;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const bool valid = column < count;
        q[i][step] = valid ? *reinterpret_cast<const uint2*>(from + 16 * step) : make_uint2(0, 0);
        const float4 m = reinterpret_cast<const float4*>(mean)[step * 4 + lane % 4];
        const float2 low = UnpackBf16(q[i][step].x), high = UnpackBf16(q[i][step].y);
        sums.Add(low.x, m.x), sums.Add(low.y, m.y), sums.Add(high.x, m.z), sums.Add(high.y, m.w);
      }
      sums.Merge(4);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int32_t of = lane % 4 * 2 + j;  // its sums are in lane 4 `of`
        const bool valid = first + 8 * i + of < count;
        const float dot = __shfl_sync(~0u, sums.dot, of * 4);
        const float least = __shfl_sync(~0u, sums.Floor(), of * 4);
        mean_dot[i][j] = valid ? dot : -INFINITY;
        norm[i][j] = __shfl_sync(~0u, sums.Norm(), of * 4);
        offset[i][j] = kCodeOffset * __shfl_sync(~0u, sums.sum, of * 4);
        if (valid) floor = fmaxf(floor, least);
      }
    }
  }

  // The best of this lane's rows and columns, a row each. Without kEstimates bounds alone.
  template <bool kEstimates>
  __device__ void Score(CodeTile<kSteps>& tile, BlockScore (&best)[2]) const {
    tile.Pair();
    best[0] = best[1] = {-INFINITY, floor};
#pragma unroll
    for (int token = 0; token < 8; ++token) {
      float sums[kTiles][4] = {};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        uint32_t codes[4];
        tile.Codes(step, token, codes);
#pragma unroll
        for (int i = 0; i < kTiles; ++i) MultiplyAdd(sums[i], codes, q[i][step].x, q[i][step].y);
      }
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const float scale = tile.Scale(row, token);
#pragma unroll
        for (int i = 0; i < 2 * kTiles; ++i) {
          const int at = i / 2, j = i % 2;
          const float sum = sums[at][2 * row + j] - offset[at][j];
          const float slack = fmaf(norm[at][j], tile.rho[row], sum);
          best[row].bound = fmaxf(best[row].bound, fmaf(scale, slack, mean_dot[at][j]));
          if (!kEstimates) continue;
          best[row].estimate = fmaxf(best[row].estimate, fmaf(scale, sum, mean_dot[at][j]));
        }
      }
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      // What is always read is best read first.
      if (!(tile.rho[row] < INFINITY)) best[row] = {INFINITY, INFINITY};
    }
  }
};

// The best of each block's rows: of blocks 0 and 2 in lanes 0 to 15, of 1 and 3 in the others.
__device__ inline void MergeRows(BlockScore (&best)[2]) {
#pragma unroll
  for (int row = 0; row < 2; ++row) {
#pragma unroll
    for (int i = 1; i < 16; i *= 2) {
      const float estimate = __shfl_xor_sync(~0u, best[row].estimate, i);
      best[row].Add(estimate, __shfl_xor_sync(~0u, best[row].bound, i));
    }
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
