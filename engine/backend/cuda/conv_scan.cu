#include <algorithm>
#include <type_traits>

#include "engine/backend/cuda/causal_conv1d.h"
#include "engine/backend/cuda/conv_scan.h"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/scan_math.cuh"
#include "engine/backend/cuda/selective_scan.h"
#include "engine/backend/cuda/ssd_scan.h"
#include "engine/backend/cuda/state_rows.cuh"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kHeadDim = 64;
constexpr int32_t kWidth = 4;  // of the fused convolution

struct StepArgs {
  const void* x;        // [T, channels], row stride x_stride: x | B | C, convolved or not yet
  const float* weight;  // [channels, 4], of the convolution if fused
  const float* bias;    // [channels] or null
  const void* dt;       // [T, heads], row stride dt_stride
  const float* a_log;   // [heads]; so are dt_bias and d
  const float* dt_bias;
  const float* d;
  void* out;  // [T, heads * 64]
  const StateSpan* sequences;
  const ConvWeights* own;  // [sequences], in place of weight and bias; or null
  int64_t x_stride, dt_stride;
  size_t conv_offset, scan_offset;
  float dt_min, dt_max;
  int32_t heads, groups;
  bool silu;
};

// Channel c of the span's one row: convolved here, or as the convolution left it. Both round to
// bf16. The new convolution state is written by the one block that `owns` the channel.
template <bool kFused>
__device__ inline float Channel(const StepArgs& args, const StateSpan& span,
                                const ConvWeights& weights, int64_t c, int64_t channels,
                                bool owns) {
  const float now =
      ToFloat(static_cast<const Bf16Number*>(args.x)[span.row_begin * args.x_stride + c]);
  if constexpr (!kFused) return now;
  const float* past = DeviceStateIn(span, args.conv_offset) + c;
  const float in[kWidth] = {past[0], past[channels], past[2 * channels], now};
  const float4 weight = reinterpret_cast<const float4*>(weights.weight)[c];
  float sum = weights.bias == nullptr ? 0.0f : weights.bias[c];
  sum = fmaf(weight.x, in[0], sum);
  sum = fmaf(weight.y, in[1], sum);
  sum = fmaf(weight.z, in[2], sum);
  sum = fmaf(weight.w, in[3], sum);
  if (owns) {
    float* state = DeviceStateOut(span, args.conv_offset) + c;
#pragma unroll
    for (int32_t j = 0; j + 1 < kWidth; ++j) state[j * channels] = in[j + 1];
  }
  return ToFloat(ConvOutput<Bf16Number>(sum, args.silu));
}

// The block's part of x, then B, then C of its group, to shared memory.
template <int32_t kDState, int32_t kRows, bool kFused>
__device__ inline void LoadChannels(const StepArgs& args, const StateSpan& span, int32_t head,
                                    int32_t first_row, float* shared) {
  const int32_t heads_per_group = args.heads / args.groups;
  const int64_t inner = int64_t{args.heads} * kHeadDim;
  const int64_t channels = inner + 2 * int64_t{args.groups} * kDState;
  const int64_t b = inner + int64_t{head / heads_per_group} * kDState;
  const bool owns_group = head % heads_per_group == 0 && first_row == 0;
  const ConvWeights weights =
      DeviceWeights(args.own, args.weight, args.bias, static_cast<int32_t>(blockIdx.y));
#pragma unroll
  for (int32_t base = 0; base < kRows + 2 * kDState; base += kThreads) {
    const int32_t i = base + static_cast<int32_t>(threadIdx.x);
    if (i >= kRows + 2 * kDState) break;
    int64_t c = int64_t{head} * kHeadDim + first_row + i;
    if (i >= kRows) c = b + (i - kRows);
    if (i >= kRows + kDState) c += int64_t{args.groups - 1} * kDState;
    shared[i] = Channel<kFused>(args, span, weights, c, channels, i < kRows || owns_group);
  }
}

// Rows of H of one head of one sequence, kPasses * 16 of them. Bound by memory: H is read and
// written once, in float32 64 * kPasses bytes of it in flight for each thread.
//   1. before the predecessor has finished: weights, and H to L2, which is only a hint
//   2. load H, then the inputs of x, B and C, and convolve them
//   3. H = decay H + dt x B^T; y = H C + d x, summed over 8 lanes
template <typename S, int32_t kDState, int32_t kPasses, bool kFused>
__global__ void __launch_bounds__(kThreads, kPasses == kBulkPasses ? kBulkBlocks : 1)
    StepKernel(const StepArgs args) {
  using H = StateRows<S, kDState, kPasses>;
  constexpr int32_t kRows = kPasses * kPassRows;
  constexpr int32_t kSlices = kHeadDim / kRows;
  __shared__ float4 shared[(kRows + 2 * kDState) / 4];
  __shared__ typename H::Shared shared_rows;
  cudaTriggerProgrammaticLaunchCompletion();
  const int32_t head = static_cast<int32_t>(blockIdx.x) / kSlices;
  const int32_t first_row = static_cast<int32_t>(blockIdx.x) % kSlices * kRows;
  const StateSpan span = args.sequences[blockIdx.y];
  const int64_t begin = (int64_t{head} * kHeadDim + first_row) * kDState;
  const S* state_in = DeviceStateIn<S>(span, args.scan_offset) + begin;
  S* state_out = DeviceStateOut<S>(span, args.scan_offset) + begin;
  const bool one_row = span.row_count == 1;
  constexpr int32_t kLine = 128 / sizeof(S);
  for (int32_t line = threadIdx.x; !H::kBulk && one_row && line < kRows * kDState / kLine;
       line += kThreads) {
    PrefetchToL2(state_in + line * kLine);
  }
  const float a_log = args.a_log[head], dt_bias = args.dt_bias[head], d = args.d[head];
  cudaGridDependencySynchronize();
  if (!one_row) return;

  H rows{.shared = &shared_rows};
  rows.Begin(state_in);
  const float raw =
      ToFloat(static_cast<const Bf16Number*>(args.dt)[span.row_begin * args.dt_stride + head]);
  LoadChannels<kDState, kRows, kFused>(args, span, head, first_row,
                                       reinterpret_cast<float*>(shared));
  const float dt = StepSize(raw, dt_bias, args.dt_min, args.dt_max);
  const float decay = expf(-expf(a_log) * dt);
  __syncthreads();
  rows.Wait();

  const int32_t row = static_cast<int32_t>(threadIdx.x) / kLanes;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kLanes;
  const float* x = reinterpret_cast<const float*>(shared);
  const float4* b = shared + kRows / 4;
  const float4* c = b + kDState / 4;
  Bf16Number* out = static_cast<Bf16Number*>(args.out) +
                    (span.row_begin * args.heads + head) * kHeadDim + first_row;
#pragma unroll(H::kBulk ? 2 : kPasses)
  for (int32_t pass = 0; pass < kPasses; ++pass) {
    const float x_row = x[pass * kPassRows + row];
    float sum = 0.0f;
#pragma unroll
    for (int32_t i = 0; i < H::kPieces; ++i) {
      constexpr int32_t kFours = sizeof(float) / sizeof(S);  // of columns, a piece
      const int32_t at = kFours * H::InRow(i);
      StatePiece h = rows.Take(pass, i);
      sum = UpdatePiece<S>(&h, b + at, c + at, decay, dt * x_row, sum);
      reinterpret_cast<StatePiece*>(state_out)[H::At(pass, i)] = h;
    }
#pragma unroll
    for (int32_t mask = 1; mask < kLanes; mask *= 2) sum += __shfl_xor_sync(~0u, sum, mask);
    if (lane == 0) {
      out[pass * kPassRows + row] = FromFloat<Bf16Number>(fmaf(d, x_row, sum));
    }
  }
}

StepArgs MakeArgs(const SelectiveScanParams& scan, const CausalConv1dParams* conv,
                  Context* context) {
  StepArgs args = {.x = scan.xbc,
                   .dt = scan.dt,
                   .a_log = scan.a_log,
                   .dt_bias = scan.dt_bias,
                   .d = scan.d,
                   .out = scan.out,
                   .sequences = context->queue->Stage(scan.sequences),
                   .x_stride = int64_t{scan.heads} * kHeadDim + 2 * scan.groups * scan.d_state,
                   .dt_stride = scan.dt_stride,
                   .scan_offset = scan.state_offset,
                   .dt_min = scan.dt_min,
                   .dt_max = scan.dt_max,
                   .heads = scan.heads,
                   .groups = scan.groups};
  if (conv != nullptr) {
    args.x = conv->x;
    args.x_stride = conv->x_stride;
    args.weight = conv->weight;
    args.bias = conv->bias;
    if (!conv->own.empty()) args.own = context->queue->Stage(conv->own);
    args.conv_offset = conv->state_offset;
    args.silu = conv->silu;
  }
  return args;
}

// Large blocks compute B and C fewer times; a small batch needs many blocks: eight a
// multiprocessor are wanted of a size before that size is taken.
template <typename S, int32_t kDState, bool kFused>
void LaunchSteps(const StepArgs& args, int64_t steps, uint32_t sequences, Context* context) {
  const auto launch = [&](auto passes) {
    constexpr int32_t kPasses = decltype(passes)::value;
    const int32_t slices = kHeadDim / (kPasses * kPassRows);
    context->queue->Launch(StepKernel<S, kDState, kPasses, kFused>,
                           dim3(static_cast<uint32_t>(args.heads * slices), sequences), kThreads, 0,
                           args, Overlap::kPrologue);
  };
  const int64_t heads = steps * args.heads;
  const int64_t wanted = int64_t{8} * context->processors;
  if (heads >= 2 * wanted) return launch(std::integral_constant<int32_t, 4>());
  if (2 * heads >= wanted) return launch(std::integral_constant<int32_t, 2>());
  launch(std::integral_constant<int32_t, 1>());
}

int64_t OneRowSequences(std::span<const StateSpan> sequences) {
  return std::ranges::count_if(sequences, [](auto& span) { return span.row_count == 1; });
}

// In place, a block could overwrite what another block's convolution still has to read.
bool CanFuse(const CausalConv1dParams& conv, const SelectiveScanParams& scan,
             const Context& context) {
  return SsdFits(scan, context) && conv.width == kWidth &&
         reinterpret_cast<uintptr_t>(conv.weight) % 16 == 0 &&
         std::ranges::all_of(
             conv.own,
             [](auto& own) { return reinterpret_cast<uintptr_t>(own.weight) % 16 == 0; }) &&
         std::ranges::none_of(conv.sequences, [](auto& span) {
           return span.row_count == 1 && span.state_in == span.state_out;
         });
}

}  // namespace

void ScanSteps(const SelectiveScanParams& scan, const CausalConv1dParams* conv, Context* context) {
  const int64_t steps = OneRowSequences(scan.sequences);
  if (steps == 0) return;
  const auto sequences = static_cast<uint32_t>(scan.sequences.size());
  const StepArgs args = MakeArgs(scan, conv, context);
  const auto launch = [&](auto fused) {
    constexpr bool kFused = decltype(fused)::value;
    WithState(*context, [&](auto* state) {
      using S = std::remove_pointer_t<decltype(state)>;
      if (scan.d_state == 128) {
        LaunchSteps<S, 128, kFused>(args, steps, sequences, context);
      } else {
        LaunchSteps<S, 64, kFused>(args, steps, sequences, context);
      }
    });
  };
  conv == nullptr ? launch(std::false_type()) : launch(std::true_type());
}

void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan, Context* context) {
  if (!CanFuse(conv, scan, *context)) {
    CausalConv1d(conv, context);
    SelectiveScan(scan, context);
    return;
  }
  ScanSteps(scan, &conv, context);
  CausalConv1dFrom(2, conv, context);
  SsdScan(scan, context);
}

}  // namespace eidetic::cuda
