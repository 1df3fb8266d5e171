// Codes and queries as the matrix units take them, and the bounds that they make.
//
// What: a piece of codes is 16 tokens of one block; query tiles are 8 columns each.
// Thread safety: whole warps call everything together. Ownership: borrows everything.
// Preconditions: head_dim is 16 kSteps, steps come in fours; queries are aligned to 8 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_

#include "engine/backend/cuda/scan_ptx.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

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
        q[i][step] =
            column < count ? *reinterpret_cast<const uint2*>(from + 16 * step) : make_uint2(0, 0);
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
        best =
            fmaxf(best, fmaf(ToFloat(piece.scales[j / 2]), sums[i][j] + slack, mean_dot[i][j % 2]));
      }
    }
    return piece.rho < INFINITY ? best : INFINITY;
  }
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
