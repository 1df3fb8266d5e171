// Flow: an item is one head of one sequence; its state [head_dim, d_state] stays
// in cache while the tokens go by in order. A lane is a state column: the update
// is elementwise, y is a sum over all columns, taken in 2 x kLanes chains.
#include "engine/backend/cpu/selective_scan.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/selective_scan.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

// PyTorch's: linear above 20, where the difference is below float32's resolution.
float Softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// h = decay * h + input * b over one row of the state; returns h . c.
HWY_INLINE float UpdateRow(float* HWY_RESTRICT h, const float* HWY_RESTRICT b,
                           const float* HWY_RESTRICT c, int64_t d_state, float decay, float input) {
  const FloatVector decays = hn::Set(kFloat, decay);
  const FloatVector inputs = hn::Set(kFloat, input);
  FloatVector sums[2] = {hn::Zero(kFloat), hn::Zero(kFloat)};
  for (int64_t n = 0; n < d_state; n += 2 * kLanes) {
    for (int64_t part = 0; part < 2; ++part) {
      const int64_t at = n + part * kLanes;
      const int64_t count = d_state - at;
      if (count <= 0) break;
      const FloatVector added = hn::Mul(inputs, LoadUpTo(b + at, count));
      const FloatVector state = hn::MulAdd(decays, LoadUpTo(h + at, count), added);
      StoreUpTo(state, h + at, count);
      sums[part] = hn::MulAdd(state, LoadUpTo(c + at, count), sums[part]);
    }
  }
  return Sum(hn::Add(sums[0], sums[1]));
}

void ScanHead(const SelectiveScanParams& params, const StateSpan& sequence, int64_t head) {
  const int64_t inner = int64_t{params.heads} * params.head_dim;
  const int64_t state_size = int64_t{params.head_dim} * params.d_state;
  const int64_t row_size = inner + 2 * int64_t{params.groups} * params.d_state;
  const int64_t group = head / (params.heads / params.groups);
  const auto* state_in = StateIn(sequence, params.state_offset) + head * state_size;
  auto* state = StateOut(sequence, params.state_offset) + head * state_size;
  if (state != state_in) std::copy_n(state_in, state_size, state);
  const float a = -std::exp(params.a_log[head]);
  for (int64_t t = 0; t < sequence.row_count; ++t) {
    const int64_t row = sequence.row_begin + t;
    const float* x = static_cast<const float*>(params.xbc) + row * row_size;
    const float* b = x + inner + group * params.d_state;
    const float* c = b + int64_t{params.groups} * params.d_state;
    x += head * params.head_dim;
    const float raw = static_cast<const float*>(params.dt)[row * params.dt_stride + head];
    const float dt = std::clamp(Softplus(raw + params.dt_bias[head]), params.dt_min, params.dt_max);
    const float decay = std::exp(a * dt);
    float* out = static_cast<float*>(params.out) + row * inner + head * params.head_dim;
    for (int64_t p = 0; p < params.head_dim; ++p) {
      const float y = UpdateRow(state + p * params.d_state, b, c, params.d_state, decay, dt * x[p]);
      out[p] = y + params.d[head] * x[p];
    }
  }
}

void SelectiveScanOnTarget(const SelectiveScanParams& params, ThreadPool* pool) {
  const auto sequences = static_cast<int64_t>(params.sequences.size());
  pool->ParallelFor(sequences * params.heads, [&](int64_t item, int) {
    ScanHead(params, params.sequences[item / params.heads], item % params.heads);
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(SelectiveScanOnTarget);

void SelectiveScan(const SelectiveScanParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(SelectiveScanOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
