// Flow: an item is 64 channels of one sequence. Its history (the state, then
// the rows) is read through one function, so that a sequence shorter than the
// kernel needs no case of its own; its tokens go in ascending order.
#include "engine/backend/cpu/causal_conv1d.h"

#include <algorithm>
#include <array>

#include "engine/backend/param_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/causal_conv1d.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

inline constexpr int64_t kItemChannels = 64;

// Channels [begin, begin + count) of one sequence.
class ConvItem {
 public:
  ConvItem(const CausalConv1dParams& params, const StateSpan& sequence, const ConvWeights& weights,
           int64_t begin)
      : params_(params),
        begin_(begin),
        count_(std::min(kItemChannels, params.channels - begin)),
        x_(static_cast<const float*>(params.x) + sequence.row_begin * params.x_stride + begin) {
    bias_.fill(0.0f);
    if (weights.bias != nullptr) std::copy_n(weights.bias + begin, count_, bias_.data());
    for (int64_t j = 0; j < params.width; ++j) {
      weight_[j].fill(0.0f);
      for (int64_t c = 0; c < count_; ++c) {
        weight_[j][c] = weights.weight[(begin + c) * params.width + j];
      }
    }
    const float* state = StateIn(sequence, params.state_offset) + begin;
    for (int64_t j = 0; j + 1 < params.width; ++j) {
      std::copy_n(state + j * params.channels, count_, state_[j].data());
    }
  }

  void Run(const StateSpan& sequence) const {
    float* out = static_cast<float*>(params_.out) + sequence.row_begin * params_.channels + begin_;
    for (int64_t t = 0; t < sequence.row_count; ++t) ConvolveToken(t, out + t * params_.channels);
    float* state = StateOut(sequence, params_.state_offset) + begin_;
    for (int64_t j = 0; j + 1 < params_.width; ++j) {
      const float* from = Inputs(sequence.row_count - params_.width + 1 + j);
      std::copy_n(from, count_, state + j * params_.channels);
    }
  }

 private:
  // The channels' inputs at token `t` of the chunk; t >= 1 - width.
  const float* Inputs(int64_t t) const {
    return t < 0 ? state_[t + params_.width - 1].data() : x_ + t * params_.x_stride;
  }

  void ConvolveToken(int64_t t, float* out) const {
    for (int64_t c = 0; c < count_; c += kLanes) {
      FloatVector sum = hn::LoadU(kFloat, bias_.data() + c);
      for (int64_t j = 0; j < params_.width; ++j) {
        const float* x = Inputs(t - params_.width + 1 + j) + c;
        sum = hn::MulAdd(hn::LoadU(kFloat, weight_[j].data() + c), LoadUpTo(x, count_ - c), sum);
      }
      StoreUpTo(params_.silu ? Silu(sum) : sum, out + c, count_ - c);
    }
  }

  using Channels = std::array<float, kItemChannels>;
  const CausalConv1dParams& params_;
  int64_t begin_, count_;
  const float* x_;
  // Filled as far as `width` goes.
  Channels bias_;
  std::array<Channels, kMaxConvWidth> weight_;
  std::array<Channels, kMaxConvWidth> state_;
};

void CausalConv1dOnTarget(const CausalConv1dParams& params, ThreadPool* pool) {
  const int64_t items = (params.channels + kItemChannels - 1) / kItemChannels;
  const auto sequences = static_cast<int64_t>(params.sequences.size());
  pool->ParallelFor(sequences * items, [&](int64_t item, int) {
    const StateSpan& sequence = params.sequences[item / items];
    const ConvWeights weights = WeightsOf(params, static_cast<size_t>(item / items));
    ConvItem(params, sequence, weights, item % items * kItemChannels).Run(sequence);
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(CausalConv1dOnTarget);

void CausalConv1d(const CausalConv1dParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(CausalConv1dOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
