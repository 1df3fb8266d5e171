// For a chunk of Q = 64 tokens of one head, with s_i the sum of -exp(a_log) dt' over its tokens
// up to i, and H the state before it:
//   G = C B^T                                        [Q, Q], the same for all heads of a group
//   P_ij = G_ij exp(s_i - s_j) dt'_j for j <= i      [Q, Q]
//   Y = P X + exp(s_i) C H^T + d X                   [Q, 64]
//   H = exp(s_end) H + (X_j dt'_j exp(s_end - s_j))^T B   [64, d_state]
// Products take bf16 and add in float32; decays, sums and H are float32.
#include <algorithm>

#include "engine/backend/cuda/ssd_chunk.cuh"
#include "engine/backend/cuda/ssd_scan.h"

namespace eidetic::cuda {
namespace {

// A block walks over one sequence's chunks in order; each of its warpgroups has one head, with H in
// registers. For chunk i a warpgroup:
//   1. tells the others that its share of chunk i + 1's B and C is there (asked for a chunk ago),
//      waits for theirs of chunk i, and asks for x of chunk i + 1, B and C of chunk i + 2
//   2. G and from it P, to shared memory; its first warp, whose P is short: the next chunk's decays
//   3. Y, written over x and then out, while H becomes that after the chunk
// Warpgroups are not in step, so that one's products run while another works on P. None is more
// than a chunk ahead: with all told of chunk i, all have finished chunk i - 2, whose stage of B and C
// is that of chunk i + 2.
template <uint32_t kDState>
__global__ void __launch_bounds__(kSsdMaxHeads * kSsdHeadThreads, 1) SsdKernel(const SsdArgs args) {
  extern __shared__ SsdPanel ssd_shared[];
  auto* shared = reinterpret_cast<SsdShared<kDState>*>(ssd_shared);
  if (threadIdx.x < 32) shared->work.Find(args, kDState);
  if (threadIdx.x < kSsdStages) InitBarrier(&shared->full[threadIdx.x], blockDim.x / 32);
  __syncthreads();
  SsdHead<kDState> head(args, shared);
  head.Begin();
  const uint32_t chunks = static_cast<uint32_t>((shared->work.span.row_count + kChunk - 1) / kChunk);
  for (uint32_t chunk = 0; chunk < chunks; ++chunk) head.Run(chunk);
  head.End();
}

bool Aligned(const void* pointer, size_t offset = 0) {
  return (reinterpret_cast<uintptr_t>(pointer) + offset) % 16 == 0;
}

template <uint32_t kDState>
void Launch(const SsdArgs& args, int64_t sequences, Context* context) {
  const int32_t group_pairs = (args.heads / args.groups + kSsdHeads - 1) / kSsdHeads;
  const dim3 grid(static_cast<uint32_t>(args.groups * group_pairs),
                  static_cast<uint32_t>(sequences));
  context->queue->Launch(SsdKernel<kDState>, grid, kSsdThreads, sizeof(SsdShared<kDState>), args);
}

}  // namespace

bool SsdFits(const SelectiveScanParams& params, const Context& context) {
  return context.precision == Precision::kBf16 && params.head_dim == kSsdHeadDim &&
         (params.d_state == 64 || params.d_state == 128) && Aligned(params.xbc) &&
         Aligned(params.out) && std::ranges::all_of(params.sequences, [&](auto& span) {
           return Aligned(span.state_in, params.state_offset) &&
                  Aligned(span.state_out, params.state_offset);
         });
}

void SsdScan(const SelectiveScanParams& params, Context* context) {
  const int64_t sequences = CountSpanTiles<kWholeSpan>(params.sequences, 2);
  if (sequences == 0) return;
  const SsdArgs args = {.xbc = static_cast<const Bf16Number*>(params.xbc),
                        .dt = static_cast<const Bf16Number*>(params.dt),
                        .a_log = params.a_log,
                        .dt_bias = params.dt_bias,
                        .d = params.d,
                        .out = static_cast<Bf16Number*>(params.out),
                        .sequences = context->queue->Stage(params.sequences),
                        .dt_stride = params.dt_stride,
                        .state_offset = params.state_offset,
                        .dt_min = params.dt_min,
                        .dt_max = params.dt_max,
                        .sequence_count = static_cast<int32_t>(params.sequences.size()),
                        .heads = params.heads,
                        .groups = params.groups};
  if (params.d_state == 128) {
    Launch<128>(args, sequences, context);
  } else {
    Launch<64>(args, sequences, context);
  }
}

}  // namespace eidetic::cuda
