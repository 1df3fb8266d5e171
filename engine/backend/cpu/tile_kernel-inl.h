// The innermost loop of every matrix product: a few rows times 32 columns.
//
// What: acc[r][c] += sum over k of x[r][k] * w[k][c] with the accumulators in
//   registers. MatMul and both products of SpanAttention run through it.
// Thread safety: pure functions. Ownership: none.
// Preconditions: included after hwy/foreach_target.h; 1 <= R <= kMaxTileRows.
//
// An element is one chain of fused multiply-adds in ascending k, whatever R and
// P are: tiles may be cut anywhere and the result is bitwise the same.
//
// kMaxTileRows: R x 2 accumulators, 2 weights, 1 broadcast and 1 mask must fit
// the registers (32 of AVX-512, 16 else). At 12 rows the 24 multiply-adds of a
// step stand against 2 operations that widen bf16.
#if defined(EIDETIC_ENGINE_BACKEND_CPU_TILE_KERNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EIDETIC_ENGINE_BACKEND_CPU_TILE_KERNEL_INL_H_
#undef EIDETIC_ENGINE_BACKEND_CPU_TILE_KERNEL_INL_H_
#else
#define EIDETIC_ENGINE_BACKEND_CPU_TILE_KERNEL_INL_H_
#endif

#include <cstdint>
#include <utility>

#include "engine/backend/cpu/simd-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

inline constexpr int kMaxTileRows = kLanes == 16 ? 12 : 6;

// 4 KiB ahead: what a tile of 8 rows takes to work through while one line comes
// from memory. Reading past the end of the weights is harmless.
inline constexpr int64_t kPrefetchWords = 1024;

// float32 weights: row k at data + k * stride; a pass takes the kLanes columns
// at data and the kLanes columns at data + high.
struct F32Weights {
  const float* data;
  int64_t stride;
  int64_t high;
  HWY_INLINE void Load(int64_t k, FloatVector& lo, FloatVector& hi) const {
    hwy::Prefetch(data + k * stride + kPrefetchWords);
    lo = hn::LoadU(kFloat, data + k * stride);
    hi = hn::LoadU(kFloat, data + k * stride + high);
  }
};

// A bf16 panel, see packed_matrix.h.
struct Bf16Weights {
  const uint32_t* data;
  HWY_INLINE void Load(int64_t k, FloatVector& lo, FloatVector& hi) const {
    const hn::RebindToUnsigned<FloatTag> word;
    hwy::Prefetch(data + k * 16 + kPrefetchWords);
    const auto pair = hn::LoadU(word, data + k * 16);
    lo = hn::BitCast(kFloat, hn::ShiftLeft<16>(pair));
    hi = hn::BitCast(kFloat, hn::And(pair, hn::Set(word, 0xFFFF0000u)));
  }
};

// Accumulators of R rows in P panels of 2 vectors each.
template <int R, int P>
struct Accumulators {
  FloatVector lo[P][R];
  FloatVector hi[P][R];
};

// x: [R][depth], row stride x_stride. weights[p]: [depth][2 * kLanes].
template <int R, int P, class Weights>
HWY_INLINE void MultiplyTile(const float* HWY_RESTRICT x, int64_t x_stride, int64_t depth,
                             const Weights (&weights)[P], Accumulators<R, P>& acc) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int p = 0; p < P; ++p) {
      FloatVector lo, hi;
      weights[p].Load(k, lo, hi);
      for (int r = 0; r < R; ++r) {
        const FloatVector xk = hn::Set(kFloat, x[r * x_stride + k]);
        acc.lo[p][r] = hn::MulAdd(xk, lo, acc.lo[p][r]);
        acc.hi[p][r] = hn::MulAdd(xk, hi, acc.hi[p][r]);
      }
    }
  }
}

// Calls fn(std::integral_constant<int, rows>) for 1 <= rows <= kMaxTileRows.
template <class Fn, int... kRows>
HWY_INLINE void WithTileRows(int rows, Fn fn, std::integer_sequence<int, kRows...>) {
  ((rows == kRows + 1 ? fn(std::integral_constant<int, kRows + 1>()) : void()), ...);
}
template <class Fn>
HWY_INLINE void WithTileRows(int rows, Fn fn) {
  WithTileRows(rows, fn, std::make_integer_sequence<int, kMaxTileRows>());
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
