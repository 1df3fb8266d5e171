// The inner loops of retrieval: the largest dot product of many queries with many keys.
//
// What: SIMD kernels for the best of the CPU's instruction sets that are
//   compiled in (baseline, AVX2, AVX-512; NEON).
// Thread safety: pure functions. Ownership: borrows everything.
// Preconditions: trusted, the caller has checked them.
//
// Every dot product is ONE chain of fused multiply-adds from 0 over the channels
// in ascending order, in one SIMD lane. So a score depends neither on how many
// queries go together, nor on the width of a vector, nor on a thread count.
// (x86 without FMA, the baseline, rounds product and sum apart: still one
// chain, still monotone, but not the same bits as a CPU with FMA.)
#ifndef EIDETIC_MEMORY_DOT_KERNELS_H_
#define EIDETIC_MEMORY_DOT_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace eidetic::memory {

struct QueryRows {
  const float* rows = nullptr;  // [count][head_dim]
  int32_t count = 0;
  int32_t head_dim = 0;
};

// Largest q . key over all queries and the block's tokens; NaN counts as -inf
// and -0 as +0. `keys` is [head_dim][block_size], block_size a multiple of 16.
float MaxDot(const QueryRows& queries, const float* keys, int32_t block_size);

// The same for one key per block: out[i * kTileBlocks + lane], i < tile_count,
// is the largest over the queries for that lane of tile i, whose summary,
// bfloat16 [head_dim][kTileBlocks], begins `offset` elements into tiles[i].
void TileDots(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
              int64_t offset, float* out);

// As TileDots for bounds: maxima, [head_dim][kTileBlocks], at `offset` and
// minima right behind them. A lane's value is an upper bound of MaxDot for its
// block, in floating point, with no error term:
//   MaxDot's chain for key c is   s <- fma(q_d, c_d, s),
//   the bound's is                b <- fma(q_d, q_d >= 0 ? max_d : min_d, b).
//   The maxima are rounded up and the minima down, so the bound's factor makes its exact product at
//   least q_d c_d. If b >= s before a step, the exact sum of the bound is at least that of the
//   score, and rounding is monotone: so b >= s after it. Both begin at 0.
// Infinite channels may make a bound NaN: it then knows nothing, and counts as
// +inf. A key with a NaN channel scores -inf, so the bounds may leave it out.
void TileBounds(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
                int64_t offset, float* out);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DOT_KERNELS_H_
