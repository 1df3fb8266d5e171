// Flow: an item is a few rows. Of each row 1. A x, one inner product a rank; 2. B times that, a
// vector of outputs at a time, ranks ascending. So a row's bits depend on that row and its
// adapter alone.
#include "engine/backend/cpu/low_rank.h"

#include <array>

#include "engine/backend/cpu/row_items.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/low_rank.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

void AddDelta(const LowRankSegment& segment, const float* x, int64_t cols, float* out,
              int64_t outputs) {
  std::array<float, kMaxLowRank> inner;
  for (int32_t r = 0; r < segment.rank; ++r) {
    FloatVector sum = hn::Zero(kFloat);
    for (int64_t k = 0; k < cols; k += kLanes) {
      sum =
          hn::MulAdd(LoadUpTo(segment.a + r * cols + k, cols - k), LoadUpTo(x + k, cols - k), sum);
    }
    inner[r] = Sum(sum) * segment.scale;
  }
  for (int64_t o = 0; o < outputs; o += kLanes) {
    FloatVector sum = hn::Zero(kFloat);
    for (int32_t r = 0; r < segment.rank; ++r) {
      sum = hn::MulAdd(hn::Set(kFloat, inner[r]),
                       LoadUpTo(segment.b + r * outputs + o, outputs - o), sum);
    }
    StoreUpTo(hn::Add(LoadUpTo(out + o, outputs - o), sum), out + o, outputs - o);
  }
}

void LowRankOnTarget(const LowRankParams& params, ThreadPool* pool) {
  if (params.segments.empty()) return;
  const int64_t begin = params.segments.front().row_begin;
  const int64_t end = params.segments.back().row_begin + params.segments.back().row_count;
  const int64_t cost = params.segments.front().rank * (params.cols + params.outputs);
  ForEachRow(end - begin, cost, pool, [&](int64_t i) {
    const int64_t row = begin + i;
    for (const LowRankSegment& segment : params.segments) {
      if (row < segment.row_begin) return;
      if (row >= segment.row_begin + segment.row_count) continue;
      return AddDelta(segment, static_cast<const float*>(params.x) + row * params.cols, params.cols,
                      static_cast<float*>(params.out) + row * params.out_stride, params.outputs);
    }
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(LowRankOnTarget);

void LowRank(const LowRankParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(LowRankOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
