#include "engine/backend/cpu/softmax_row.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/softmax_row.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

float CleanRowOnTarget(const float* from, int64_t count, float* to) {
  const FloatVector lowest = hn::Set(kFloat, -std::numeric_limits<float>::infinity());
  const FloatVector highest = hn::Set(kFloat, std::numeric_limits<float>::max());
  FloatVector maxima = lowest;
  for (int64_t i = 0; i < count; i += kLanes) {
    const FloatVector raw = LoadUpTo(from + i, count - i);
    const FloatVector clean = hn::IfThenElse(hn::IsNaN(raw), lowest, hn::Min(raw, highest));
    StoreUpTo(clean, to + i, count - i);
    const auto present = hn::FirstN(kFloat, static_cast<size_t>(std::min(count - i, kLanes)));
    maxima = hn::Max(maxima, hn::IfThenElse(present, clean, lowest));
  }
  return hn::GetLane(hn::MaxOfLanes(kFloat, maxima));
}

double ExpRowOnTarget(const float* from, int64_t count, float maximum, float temperature,
                      float* to) {
  const FloatVector maxima = hn::Set(kFloat, maximum);
  const FloatVector temperatures = hn::Set(kFloat, temperature);
  double sum = 0;
  for (int64_t begin = 0; begin < count; begin += 256) {
    const int64_t end = std::min<int64_t>(count, begin + 256);
    FloatVector sums = hn::Zero(kFloat);
    for (int64_t i = begin; i < end; i += kLanes) {
      const FloatVector shifted = hn::Sub(LoadUpTo(from + i, end - i), maxima);
      StoreUpTo(hn::Exp(kFloat, hn::Div(shifted, temperatures)), to + i, end - i);
      sums = hn::Add(sums, LoadUpTo(to + i, end - i));
    }
    sum += double{Sum(sums)};
  }
  return sum;
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(CleanRowOnTarget);
HWY_EXPORT(ExpRowOnTarget);

float CleanRow(const float* from, int64_t count, float* to) {
  return HWY_DYNAMIC_DISPATCH(CleanRowOnTarget)(from, count, to);
}

double ExpRow(const float* from, int64_t count, float maximum, float temperature, float* to) {
  return HWY_DYNAMIC_DISPATCH(ExpRowOnTarget)(from, count, maximum, temperature, to);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
