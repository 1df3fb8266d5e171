// Vector helpers shared by the CPU operations.
//
// What: loads and stores that stop at the end of a row, and SiLU. Compiled once
//   for each instruction set that Highway dispatches to.
// Thread safety: pure functions. Ownership: none.
// Preconditions: included after hwy/foreach_target.h.
//
// Two rules keep results independent of the batch: an output element is one
// chain of operations in one lane, and a sum over lanes is taken in one place
// after all of them. The library is compiled with -ffp-contract=off, so that a
// multiplication and an addition are fused where the code says so and nowhere else.
#if defined(EIDETIC_ENGINE_BACKEND_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EIDETIC_ENGINE_BACKEND_CPU_SIMD_INL_H_
#undef EIDETIC_ENGINE_BACKEND_CPU_SIMD_INL_H_
#else
#define EIDETIC_ENGINE_BACKEND_CPU_SIMD_INL_H_
#endif

#include <cstdint>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;
inline constexpr FloatTag kFloat{};
inline constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
static_assert(16 % kLanes == 0, "tiles and blocks come in groups of 16");

// The first min(count, kLanes) of `from`; zero in the lanes after them.
HWY_INLINE FloatVector LoadUpTo(const float* from, int64_t count) {
  if (count >= kLanes) return hn::LoadU(kFloat, from);
  return hn::MaskedLoad(hn::FirstN(kFloat, static_cast<size_t>(count)), kFloat, from);
}

HWY_INLINE void StoreUpTo(FloatVector value, float* to, int64_t count) {
  if (count >= kLanes) {
    hn::StoreU(value, kFloat, to);
  } else {
    hn::BlendedStore(value, hn::FirstN(kFloat, static_cast<size_t>(count)), kFloat, to);
  }
}

HWY_INLINE float Sum(FloatVector value) { return hn::GetLane(hn::SumOfLanes(kFloat, value)); }

// x / (1 + exp(-x)), by exp(-|x|), which can not overflow.
HWY_INLINE FloatVector Silu(FloatVector x) {
  const FloatVector one = hn::Set(kFloat, 1.0f);
  const FloatVector small = hn::Exp(kFloat, hn::Neg(hn::Abs(x)));
  const FloatVector numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(kFloat)), small, one);
  return hn::Div(hn::Mul(x, numerator), hn::Add(one, small));
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
