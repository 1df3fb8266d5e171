#include "engine/backend/cpu/simd_target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/simd_target.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {
const char* NameOfTarget() { return hwy::TargetName(HWY_TARGET); }
}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(NameOfTarget);
const char* SimdTargetName() { return HWY_DYNAMIC_DISPATCH(NameOfTarget)(); }
}  // namespace eidetic::cpu
#endif  // HWY_ONCE
