// Codes and queries as the matrix units take them, and the bounds that they make.
//
// What: a piece of codes is one or two groups of 16 tokens of one block. Many columns of queries
//   are multiplied in bf16 (QueryTiles). Few leave most of a tile empty: there a query takes two
//   columns, of whole numbers (QueryDigits), which spares half of the unpacking and is exact.
// Thread safety: whole warps call everything together. Ownership: borrows everything.
// Preconditions: head_dim is 16 kSteps, steps come in fours; queries are aligned to 8 bytes;
//   block_size is a multiple of 32.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_

#include "engine/backend/cuda/scan_ptx.cuh"
#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

// What a block comes out as: its best estimate q . khat, and its best bound.
struct BlockScore {
  float estimate = -INFINITY, bound = -INFINITY;

  __device__ void Add(float other_estimate, float other_bound) {
    estimate = fmaxf(estimate, other_estimate);
    bound = fmaxf(bound, other_bound);
  }
};

template <int kWords>
__device__ inline void LoadWords(uint32_t (&to)[kWords], const uint32_t* from) {
  if constexpr (kWords == 4) {
    const uint4 bits = *reinterpret_cast<const uint4*>(from);
    to[0] = bits.x, to[1] = bits.y, to[2] = bits.z, to[3] = bits.w;
  } else {
    static_assert(kWords == 2);
    const uint2 bits = *reinterpret_cast<const uint2*>(from);
    to[0] = bits.x, to[1] = bits.y;
  }
}

// The part of a block's codes that one warp multiplies at once. It is loaded long before it is
// used. Without kLower the upper plane alone.
template <int kSteps, int kGroups, bool kLower>
struct CodePiece {
  static constexpr int kPairs = kSteps / 2;
  static constexpr int kBytes = kGroups * kPairs * 128 * (kLower ? 2 : 1);
  uint32_t upper[kGroups][kPairs];
  uint32_t lower[kLower ? kGroups : 1][kPairs];
  uint32_t scales[kGroups];  // of rows g and g + 8
  float rho;

  // Piece `at` of block `of` of its tile.
  __device__ void Load(const CodeLayout& layout, std::byte* head, int32_t of, int32_t at) {
    const int32_t lane = threadIdx.x % 32, place = at * kGroups * 32 + lane;
    const uint32_t* high = layout.Upper(head, of) + place * kPairs;
    const uint32_t* low = layout.Lower(head, of) + place * kPairs;
    const auto* pairs = reinterpret_cast<const uint32_t*>(layout.Scales(head, of)) +
                        at * kGroups * 8 + lane / 4;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      LoadWords(upper[i], high + i * 32 * kPairs);
      if constexpr (kLower) LoadWords(lower[i], low + i * 32 * kPairs);
      scales[i] = pairs[i * 8];
    }
    if constexpr (kLower) rho = *layout.Rho(head, of);
  }
  __device__ float Scale(int group, int row) const {
    const float2 pair = UnpackBf16(scales[group]);
    return row == 0 ? pair.x : pair.y;
  }
  __device__ uint32_t Word(int group, int step) const {
    const uint32_t high = upper[group][step / 2], low = lower[group][step / 2];
    return step % 2 == 0 ? CodeWord::Even(high, low) : CodeWord::Odd(high, low);
  }
  // The codes + 8 of two steps as the first operand of a product of whole numbers: a[0], a[1]
  // rows g and g + 8 of the even step, a[2], a[3] of the odd one. Bytes are channels 4 t + 0, 2,
  // 1, 3. Of the upper plane alone a code's upper bits, from 0 to 3.
  __device__ void Bytes(int group, int pair, uint32_t (&a)[4]) const {
    if constexpr (kLower) {
      const uint32_t even = Word(group, 2 * pair), odd = Word(group, 2 * pair + 1);
      a[0] = even & 0x0F0F0F0Fu, a[1] = even >> 4 & 0x0F0F0F0Fu;
      a[2] = odd & 0x0F0F0F0Fu, a[3] = odd >> 4 & 0x0F0F0F0Fu;
    } else {
      const uint32_t word = upper[group][pair];
      a[0] = word & 0x03030303u, a[1] = word >> 4 & 0x03030303u;
      a[2] = word >> 2 & 0x03030303u, a[3] = word >> 6 & 0x03030303u;
    }
  }
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
  // Of lanes 4 g to 4 g + 3.
  __device__ void MergeFour() {
#pragma unroll
    for (int i = 1; i < 4; i *= 2) {
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

// A query's channels 4 t to 4 t + 3 of each step, or zeros.
template <int kSteps>
__device__ inline void LoadQuery(const Choice& choice, int32_t column, uint2 (&q)[kSteps]) {
  const bool valid = column < choice.column_count();
  const Bf16Number* from =
      choice.Query<Bf16Number>(valid ? column : choice.column_count() - 1) + threadIdx.x % 4 * 4;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    q[step] = valid ? *reinterpret_cast<const uint2*>(from + 16 * step) : make_uint2(0, 0);
  }
}

template <int kSteps>
__device__ inline QuerySums SumsOf(const uint2 (&q)[kSteps], const float* mean) {
  QuerySums sums;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const float4 m = reinterpret_cast<const float4*>(mean)[step * 4 + threadIdx.x % 4];
    const float2 low = UnpackBf16(q[step].x), high = UnpackBf16(q[step].y);
    sums.Add(low.x, m.x), sums.Add(low.y, m.y), sums.Add(high.x, m.z), sums.Add(high.y, m.w);
  }
  sums.MergeFour();
  return sums;
}

// kTiles times 8 columns of queries, as the matrix unit's second operand; lane 4 g + t holds
// column g and the facts of columns 2 t and 2 t + 1 of each tile. Columns past the end are zero
// and score -inf.
template <int kSteps, int kTiles>
struct QueryTiles {
  using Piece = CodePiece<kSteps, 1, true>;
  uint2 q[kTiles][kSteps];
  float mean_dot[kTiles][2], norm[kTiles][2], offset[kTiles][2];
  float floor = -INFINITY;

  __device__ void Load(const Choice& choice, int32_t first) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) LoadQuery(choice, first + 8 * i + threadIdx.x % 32 / 4, q[i]);
  }
  __device__ void Prepare(const Choice& choice, int32_t first, const float* mean) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const QuerySums sums = SumsOf(q[i], mean);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int32_t of = threadIdx.x % 4 * 2 + j;
        const bool valid = first + 8 * i + of < choice.column_count();
        const float dot = __shfl_sync(~0u, sums.dot, of * 4);
        const float sum = __shfl_sync(~0u, sums.sum, of * 4);
        const float size = __shfl_sync(~0u, sums.Norm(), of * 4);
        const float least = __shfl_sync(~0u, sums.Floor(), of * 4);
        mean_dot[i][j] = valid ? dot : -INFINITY;
        norm[i][j] = size;
        offset[i][j] = kCodeOffset * sum;
        if (valid) floor = fmaxf(floor, least);
      }
    }
  }

  // The best of this lane's rows and columns.
  __device__ void Score(const Piece& piece, BlockScore* best) const {
    float sums[kTiles][4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t word = piece.Word(0, step);
      const uint32_t codes[4] = {CodesOf(word, 0), CodesOf(word, 1), CodesOf(word, 2),
                                 CodesOf(word, 3)};
#pragma unroll
      for (int i = 0; i < kTiles; ++i) MultiplyAdd(sums[i], codes, q[i][step].x, q[i][step].y);
    }
    float bound = floor;
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float scale = piece.Scale(0, j / 2), sum = sums[i][j] - offset[i][j % 2];
        const float slack = fmaf(norm[i][j % 2], piece.rho, sum);
        best->Add(fmaf(scale, sum, mean_dot[i][j % 2]), -INFINITY);
        bound = fmaxf(bound, fmaf(scale, slack, mean_dot[i][j % 2]));
      }
    }
    // What is always read is best read first.
    if (piece.rho < INFINITY) return best->Add(-INFINITY, bound);
    best->Add(INFINITY, INFINITY);
  }
};

// Up to 4 kTiles queries in whole numbers: q is nearly s n with s = max |q_d| / 32000, and n =
// 256 a + b in two columns of signed bytes. With c a code and N the sum of n over the channels,
// q . (c + 1/2) is nearly s (2 sum n (c + 8) - 15 N) / 2, in whole numbers below 2^28. What is
// missing is at most 0.51 s sqrt(d) |c + 1/2| < 4 d s, and for a q too small to be divided
// |q| 7.5 sqrt(d): both go to `missing`. With the upper plane alone, of codes 4 u + 3/2 - 8,
// (8 sum n u - 12 N) / 2 in the place of the product.
template <int kSteps, int kTiles, bool kLower>
struct QueryDigits {
  using Piece = CodePiece<kSteps, 2, kLower>;
  uint32_t digits[kTiles][kSteps];
  float unit[kTiles], mean_dot[kTiles], norm[kTiles], missing[kTiles];
  int32_t offset[kTiles];
  float floor = -INFINITY;

  // Lane 4 g + t: digit g % 2 of query g / 2.
  __device__ void Load(const Choice& choice, int32_t first, uint2 (&q)[kTiles][kSteps]) const {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) LoadQuery(choice, first + 4 * i + threadIdx.x % 32 / 8, q[i]);
  }
  __device__ void Prepare(const Choice& choice, int32_t first, const uint2 (&q)[kTiles][kSteps],
                          const float* mean) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const QuerySums sums = SumsOf(q[i], mean);
      const float largest = Largest(q[i]);
      const bool divides = largest > 1e-30f;
      const int32_t total = Digits(q[i], divides ? 32000 / largest : 0, digits[i]);
      // The facts of query t, which lane 8 t has.
      const int lane = threadIdx.x % 32, from = lane % 4 * 8;
      const bool valid = first + 4 * i + lane / 8 < choice.column_count();
      const float own = divides ? 4 * 16 * kSteps * (largest / 32000)
                                : 8 * sqrtf(16 * kSteps) * sums.Norm();
      unit[i] = Fact(divides ? largest / 64000 : 0, from);
      missing[i] = Fact(own, from);
      mean_dot[i] = Fact(valid ? sums.dot : -INFINITY, from);
      norm[i] = Fact(sums.Norm(), from);
      offset[i] = __shfl_sync(~0u, total, from) * (kLower ? 15 : 12);
      floor = fmaxf(floor, Fact(valid ? sums.Floor() : -INFINITY, from));
    }
  }

  __device__ void Score(const Piece& piece, BlockScore* best) const {
    float estimate = -INFINITY, bound = floor;
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      int32_t sums[kTiles][4] = {};
#pragma unroll
      for (int pair = 0; pair < kSteps / 2; ++pair) {
        uint32_t codes[4];
        piece.Bytes(group, pair, codes);
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          MultiplyAddBytes(sums[i], codes, digits[i][2 * pair], digits[i][2 * pair + 1]);
        }
      }
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const int32_t sum = sums[i][2 * row] * 256 + sums[i][2 * row + 1];
          const float dot = unit[i] * static_cast<float>(sum * (kLower ? 2 : 8) - offset[i]);
          const float scale = piece.Scale(group, row);
          estimate = fmaxf(estimate, fmaf(scale, dot, mean_dot[i]));
          if constexpr (kLower) {
            const float slack = fmaf(norm[i], piece.rho, missing[i]);
            bound = fmaxf(bound, fmaf(scale, dot + slack, mean_dot[i]));
          }
        }
      }
    }
    if constexpr (!kLower) return best->Add(estimate, bound);
    if (piece.rho < INFINITY) return best->Add(estimate, bound);
    best->Add(INFINITY, INFINITY);
  }

 private:
  __device__ static float Fact(float own, int from) { return __shfl_sync(~0u, own, from); }

  __device__ static float Largest(const uint2 (&q)[kSteps]) {
    float largest = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float2 low = UnpackBf16(q[step].x), high = UnpackBf16(q[step].y);
      largest = fmaxf(fmaxf(largest, fmaxf(fabsf(low.x), fabsf(low.y))),
                      fmaxf(fabsf(high.x), fabsf(high.y)));
    }
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    return fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
  }

  // This lane's digits, in the order of Piece::Bytes; the sum of all channels' n.
  __device__ static int32_t Digits(const uint2 (&q)[kSteps], float factor, uint32_t (&to)[kSteps]) {
    const bool low_digit = threadIdx.x / 4 % 2 == 1;
    int32_t total = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float2 low = UnpackBf16(q[step].x), high = UnpackBf16(q[step].y);
      const float channels[4] = {low.x, high.x, low.y, high.y};
      to[step] = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float units = channels[i] * factor;  // NaN of infinities counts as zero
        const int32_t n = fabsf(units) <= 32001 ? __float2int_rn(units) : 0;
        const int32_t upper = (n + 128) >> 8;
        total += n;
        to[step] |= static_cast<uint32_t>((low_digit ? n - 256 * upper : upper) & 255) << (8 * i);
      }
    }
    total += __shfl_xor_sync(~0u, total, 1);
    return total + __shfl_xor_sync(~0u, total, 2);
  }

  // c += a b, whole numbers: bytes of `codes` without sign, of `digits` with.
  __device__ static void MultiplyAddBytes(int32_t (&c)[4], const uint32_t (&codes)[4],
                                          uint32_t even, uint32_t odd) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(codes[0]), "r"(codes[1]), "r"(codes[2]), "r"(codes[3]), "r"(even), "r"(odd));
  }
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CODE_TILES_CUH_
