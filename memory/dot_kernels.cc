#include "memory/dot_kernels.h"

#include <algorithm>
#include <cmath>

#include "memory/page_layout.h"

// AVX-512's later subsets add nothing here but time to compile.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "memory/dot_kernels.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::memory::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, kTileBlocks>;
using Vec = hn::Vec<D>;

enum class Kind { kDots, kBounds };

// V vectors of keys at once, channel d of vector v at keys[v] + d * stride. The
// minima, where there are any, begin `minima` floats after the maxima.
template <typename T, int V>
struct Columns {
  const T* keys[V];
  size_t stride;
  size_t minima;
};

HWY_INLINE Vec LoadKeys(const float* keys) { return hn::LoadU(D(), keys); }

HWY_INLINE Vec LoadKeys(const Bf16* keys) {
  const hn::Rebind<uint16_t, D> narrow;
  const hn::RebindToUnsigned<D> wide;
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, keys))));
}

// A NaN score is no score; a NaN bound bounds nothing.
template <Kind kKind>
HWY_INLINE Vec TakeMax(Vec best, Vec value) {
  if constexpr (kKind == Kind::kBounds) {
    value = hn::IfThenElse(hn::IsNaN(value), hn::Inf(D()), value);
  }
  return hn::IfThenElse(hn::Gt(value, best), value, best);
}

// Folds the dot products of Q queries with V vectors of keys into `best`. All
// Q * V sums stay in registers: enough independent chains to hide the latency of
// a multiply-add, and each load serves V or Q of them. (Unrolling by 8 is
// unrolling fully: Q and V are less.)
template <Kind kKind, int Q, typename T, int V>
HWY_INLINE void Fold(const float* HWY_RESTRICT queries, size_t head_dim,
                     const Columns<T, V>& columns, Vec (&best)[V]) {
  const D d;
  Vec sums[Q][V];
  HWY_UNROLL(8)
  for (int q = 0; q < Q; ++q) {
    HWY_UNROLL(8)
    for (int v = 0; v < V; ++v) sums[q][v] = hn::Zero(d);
  }
  for (size_t channel = 0; channel < head_dim; ++channel) {
    const size_t row = channel * columns.stride;
    HWY_UNROLL(8)
    for (int q = 0; q < Q; ++q) {
      const float value = queries[q * head_dim + channel];
      const Vec broadcast = hn::Set(d, value);
      const size_t from = kKind == Kind::kBounds && !(value >= 0) ? row + columns.minima : row;
      HWY_UNROLL(8)
      for (int v = 0; v < V; ++v) {
        sums[q][v] = hn::MulAdd(broadcast, LoadKeys(columns.keys[v] + from), sums[q][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int q = 0; q < Q; ++q) {
    HWY_UNROLL(8)
    for (int v = 0; v < V; ++v) best[v] = TakeMax<kKind>(best[v], sums[q][v]);
  }
}

// The queries that are left after whole groups, `rest` of them, at most Q.
template <Kind kKind, int Q, typename T, int V>
HWY_INLINE void FoldRest(const float* queries, int32_t rest, size_t head_dim,
                         const Columns<T, V>& columns, Vec (&best)[V]) {
  if (rest == Q) {
    Fold<kKind, Q>(queries, head_dim, columns, best);
  } else if constexpr (Q > 1) {
    FoldRest<kKind, Q - 1>(queries, rest, head_dim, columns, best);
  }
}

template <Kind kKind, int Q, typename T, int V>
HWY_INLINE void FoldAll(const QueryRows& queries, const Columns<T, V>& columns, Vec (&best)[V]) {
  HWY_UNROLL(8)
  for (int v = 0; v < V; ++v) best[v] = hn::Set(D(), -HUGE_VALF);
  const size_t head_dim = queries.head_dim;
  int32_t i = 0;
  for (; i + Q <= queries.count; i += Q) {
    Fold<kKind, Q>(queries.rows + i * head_dim, head_dim, columns, best);
  }
  FoldRest<kKind, Q - 1>(queries.rows + i * head_dim, queries.count - i, head_dim, columns, best);
}

float MaxDotImpl(const QueryRows& queries, const float* keys, int32_t block_size) {
  const D d;
  const int32_t lanes = hn::Lanes(d);
  Vec all = hn::Set(d, -HUGE_VALF);
  for (int32_t token = 0; token < block_size; token += 2 * lanes) {
    // A block of one vector is folded twice: its maximum is the same.
    const int32_t second = std::min(token + lanes, block_size - lanes);
    const Columns<float, 2> columns = {{keys + token, keys + second}, size_t(block_size), 0};
    Vec best[2];
    FoldAll<Kind::kDots, 6>(queries, columns, best);
    all = hn::Max(all, hn::Max(best[0], best[1]));
  }
  return hn::GetLane(hn::MaxOfLanes(d, all)) + 0.0f;  // makes -0 one with +0
}

template <Kind kKind>
HWY_INLINE void ScoreTiles(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
                           int64_t offset, float* out) {
  constexpr int kVectors = 4;
  const D d;
  const int32_t lanes = hn::Lanes(d);
  const int32_t vectors = tile_count * (kTileBlocks / lanes);
  for (int32_t first = 0; first < vectors; first += kVectors) {
    Columns<Bf16, kVectors> columns = {{}, kTileBlocks, size_t(queries.head_dim) * kTileBlocks};
    int32_t at[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      // Past the end the last vector is computed and stored again.
      at[v] = std::min(first + v, vectors - 1) * lanes;
      columns.keys[v] =
          static_cast<const Bf16*>(tiles[at[v] / kTileBlocks]) + offset + at[v] % kTileBlocks;
    }
    Vec best[kVectors];
    FoldAll<kKind, 3>(queries, columns, best);
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(hn::Add(best[v], hn::Zero(d)), d, out + at[v]);
    }
  }
}

void TileDotsImpl(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
                  int64_t offset, float* out) {
  ScoreTiles<Kind::kDots>(queries, tiles, tile_count, offset, out);
}

void TileBoundsImpl(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
                    int64_t offset, float* out) {
  ScoreTiles<Kind::kBounds>(queries, tiles, tile_count, offset, out);
}

}  // namespace
}  // namespace eidetic::memory::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::memory {

HWY_EXPORT(MaxDotImpl);
HWY_EXPORT(TileDotsImpl);
HWY_EXPORT(TileBoundsImpl);

float MaxDot(const QueryRows& queries, const float* keys, int32_t block_size) {
  return HWY_DYNAMIC_DISPATCH(MaxDotImpl)(queries, keys, block_size);
}

void TileDots(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
              int64_t offset, float* out) {
  HWY_DYNAMIC_DISPATCH(TileDotsImpl)(queries, tiles, tile_count, offset, out);
}

void TileBounds(const QueryRows& queries, const void* const* tiles, int32_t tile_count,
                int64_t offset, float* out) {
  HWY_DYNAMIC_DISPATCH(TileBoundsImpl)(queries, tiles, tile_count, offset, out);
}

}  // namespace eidetic::memory
#endif  // HWY_ONCE
