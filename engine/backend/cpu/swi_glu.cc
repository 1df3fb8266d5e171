#include "engine/backend/cpu/swi_glu.h"

#include "engine/backend/cpu/row_items.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/swi_glu.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

void GateRow(const float* gate, const float* up, float* out, int64_t dim) {
  for (int64_t i = 0; i < dim; i += kLanes) {
    const FloatVector gated = Silu(LoadUpTo(gate + i, dim - i));
    StoreUpTo(hn::Mul(gated, LoadUpTo(up + i, dim - i)), out + i, dim - i);
  }
}

void SwiGluOnTarget(const SwiGluParams& params, ThreadPool* pool) {
  ForEachRow(params.rows, params.dim, pool, [&](int64_t row) {
    GateRow(static_cast<const float*>(params.gate) + row * params.gate_stride,
            static_cast<const float*>(params.up) + row * params.up_stride,
            static_cast<float*>(params.out) + row * params.dim, params.dim);
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(SwiGluOnTarget);

void SwiGlu(const SwiGluParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(SwiGluOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
