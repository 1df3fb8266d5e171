#include "engine/backend/cuda/conv_scan.h"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/scan_math.cuh"
#include "engine/backend/cuda/selective_scan.h"
#include "engine/backend/cuda/ssd_scan.h"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kWarps = 4;  // a block's; each takes one row of H

struct ScanArgs {
  SelectiveScanParams params;
  const StateSpan* sequences;
};

// Any shape. A warp owns one row of one head's H [head_dim, d_state] of one sequence; a lane
// owns columns lane, lane + 32, ... of it, so no thread reads what another writes.
//   1. for each token in order: dt' and the decay, by every lane
//   2. H's row is updated where the new state stands (in cache; S is float, or bf16, which
//      rounds at every token), y summed over the warp
template <typename T, typename S>
__global__ void __launch_bounds__(kWarps * 32) ScanKernel(const ScanArgs args) {
  const SelectiveScanParams& p = args.params;
  const int32_t lane = threadIdx.x % 32;
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;  // of all heads
  const int64_t inner = int64_t{p.heads} * p.head_dim;
  if (row >= inner) return;
  const int64_t head = row / p.head_dim;
  const int64_t groups_size = int64_t{p.groups} * p.d_state;
  const int64_t group = head / (p.heads / p.groups);
  const StateSpan span = args.sequences[blockIdx.y];
  const S* from = DeviceStateIn<S>(span, p.state_offset) + row * p.d_state;
  S* to = DeviceStateOut<S>(span, p.state_offset) + row * p.d_state;
  const float a = -expf(p.a_log[head]);
  for (int64_t t = span.row_begin; t < span.row_begin + span.row_count; ++t) {
    const T* xbc = static_cast<const T*>(p.xbc) + t * (inner + 2 * groups_size);
    const T* b = xbc + inner + group * p.d_state;
    const T* c = b + groups_size;
    const float x = ToFloat(xbc[row]);
    const float dt = StepSize(ToFloat(static_cast<const T*>(p.dt)[t * p.dt_stride + head]),
                              p.dt_bias[head], p.dt_min, p.dt_max);
    const float decay = expf(a * dt);
    float y = 0.0f;
    for (int32_t n = lane; n < p.d_state; n += 32) {
      const float h = fmaf(decay, ToFloat(from[n]), dt * x * ToFloat(b[n]));
      to[n] = FromFloat<S>(h);
      y = fmaf(h, ToFloat(c[n]), y);
    }
    y = WarpSum(y);
    if (lane == 0) static_cast<T*>(p.out)[t * inner + row] = FromFloat<T>(fmaf(p.d[head], x, y));
    from = to;
  }
}

}  // namespace

void SelectiveScan(const SelectiveScanParams& params, Context* context) {
  if (params.sequences.empty()) return;
  if (SsdFits(params, *context)) {
    ScanSteps(params, nullptr, context);
    SsdScan(params, context);
    return;
  }
  ScanArgs args = {params, context->queue->Stage(params.sequences)};
  args.params.sequences = {};  // a host address, which may differ from step to step
  const int64_t rows = int64_t{params.heads} * params.head_dim;
  const dim3 grid(static_cast<uint32_t>(CeilDiv(rows, kWarps)),
                  static_cast<uint32_t>(params.sequences.size()));
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    WithState(*context, [&](auto* state) {
      using S = std::remove_pointer_t<decltype(state)>;
      context->queue->Launch(ScanKernel<T, S>, grid, kWarps * 32, 0, args);
    });
  });
}

}  // namespace eidetic::cuda
