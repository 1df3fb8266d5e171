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

// A block walks over one sequence's chunks in order, with two heads' H in registers; warps 0-3
// have the first head, 4-7 the second. For each chunk:
//   1. wait for its B and C; ask for its x and the next chunk's B and C
//   2. G and from it P of both heads, to shared memory; one warp a head: the next chunk's decays
//   3. wait for x; Y, written over x and then out; H
template <uint32_t kDState>
__global__ void __launch_bounds__(kSsdThreads, 2) SsdKernel(const SsdArgs args) {
  extern __shared__ uint4 ssd_shared[];
  auto* shared = reinterpret_cast<SsdShared<kDState>*>(ssd_shared);
  const SsdWork& work = shared->work;
  if (threadIdx.x < 32) shared->work.Find(args, kDState);
  __syncthreads();
  const uint32_t warp = threadIdx.x / 32;
  SsdState<kDState> state;
  state.head = warp / kSsdHeadWarps;
  state.part = warp % kSsdHeadWarps;
  const bool works = state.head < work.heads;
  const bool decays = works && state.part == 0;
  const uint32_t first_row = (work.head + state.head) * kSsdHeadDim + 16 * state.part;

  LoadBC(shared, work, 0);
  CommitCopies();
  if (works) state.Load(DeviceStateIn(work.span, args.state_offset), first_row);
  if (decays) {
    FillChunkDecays(args, work, 0, state.head, LoadDt(args, work, 0, state.head),
                    &shared->decays[0][state.head]);
  }
  for (uint32_t first = 0; first < static_cast<uint32_t>(work.span.row_count); first += kChunk) {
    const uint32_t stage = first / kChunk % 2;
    WaitCopies<0>();
    __syncthreads();  // also: everybody has finished with the chunk before
    LoadX(shared, work, first);
    CommitCopies();
    LoadBC(shared, work, first + kChunk);
    CommitCopies();
    PrefetchX(work, first + kChunk);
    float2 raw = {};
    if (decays) raw = LoadDt(args, work, first + kChunk, state.head);
    MakeP(shared, stage, work.heads);
    if (decays) {
      FillChunkDecays(args, work, first + kChunk, state.head, raw,
                      &shared->decays[1 - stage][state.head]);
    }
    WaitCopies<1>();  // x; the next B and C may still be under way
    __syncthreads();
    if (works) {
      RunChunk(shared, stage, &state);
      WriteY(shared->x[state.head], state.part, work.Rows(first), int64_t{args.heads} * kSsdHeadDim,
             args.out + (work.span.row_begin + first) * args.heads * kSsdHeadDim + first_row);
    }
  }
  if (works) state.Store(DeviceStateOut(work.span, args.state_offset), first_row);
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
