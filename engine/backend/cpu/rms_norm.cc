#include "engine/backend/cpu/rms_norm.h"

#include <cmath>

#include "engine/backend/cpu/row_items.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/rms_norm.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

// `gate` may be null. `out` may be `x`.
void NormRow(const float* x, const float* gate, const float* weight, float* out, int64_t dim,
             float eps) {
  FloatVector squares = hn::Zero(kFloat);
  for (int64_t i = 0; i < dim; i += kLanes) {
    FloatVector value = LoadUpTo(x + i, dim - i);
    if (gate != nullptr) value = hn::Mul(value, Silu(LoadUpTo(gate + i, dim - i)));
    squares = hn::MulAdd(value, value, squares);
    StoreUpTo(value, out + i, dim - i);
  }
  const float mean = Sum(squares) / static_cast<float>(dim);
  const FloatVector scale = hn::Set(kFloat, 1.0f / std::sqrt(mean + eps));
  for (int64_t i = 0; i < dim; i += kLanes) {
    const FloatVector value = hn::Mul(LoadUpTo(out + i, dim - i), scale);
    StoreUpTo(hn::Mul(LoadUpTo(weight + i, dim - i), value), out + i, dim - i);
  }
}

const float* WeightOf(const RmsNormParams& params, int64_t row) {
  for (const RowWeights& own : params.own) {
    if (row < own.row_begin) break;
    if (row < own.row_begin + own.row_count) return own.weight;
  }
  return params.weight;
}

void RmsNormOnTarget(const RmsNormParams& params, ThreadPool* pool) {
  ForEachRow(params.rows, params.dim, pool, [&](int64_t row) {
    const auto* gate = static_cast<const float*>(params.gate);
    NormRow(static_cast<const float*>(params.x) + row * params.x_stride,
            gate == nullptr ? nullptr : gate + row * params.gate_stride, WeightOf(params, row),
            static_cast<float*>(params.out) + row * params.dim, params.dim, params.eps);
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(RmsNormOnTarget);

void RmsNorm(const RmsNormParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(RmsNormOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
