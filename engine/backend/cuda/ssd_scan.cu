// For a chunk of Q = 64 tokens of one head, with s_i the sum of -exp(a_log) dt' over its tokens
// up to i, and H the state before it:
//   G = C B^T                                        [Q, Q], the same for all heads of a group
//   P_ij = G_ij exp(s_i - s_j) dt'_j for j <= i      [Q, Q]
//   Y = P X + exp(s_i) C H^T + d X                   [Q, 64]
//   H = exp(s_end) H + (X_j dt'_j exp(s_end - s_j))^T B   [64, d_state]
// Products take bf16 and add in float32; decays, sums and H are float32;
// H comes from and goes to a slot as S, float32 or bf16.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "engine/backend/cuda/ssd_chunk.cuh"
#include "engine/backend/cuda/ssd_scan.h"

namespace eidetic::cuda {
namespace {

// A warpgroup: one head over all chunks, with H in registers; the four lines above. `part` is the
// warp's number in it. y of a chunk leaves while the next one is worked on.
template <uint32_t kDState, typename S>
__device__ inline void WalkChunks(const SsdArgs& args, SsdShared<kDState>* shared, uint32_t slot,
                                  uint32_t part) {
  const SsdWork& work = shared->work;
  const uint32_t head = work.head + slot, chunks = work.Chunks();
  const bool sends = part == 0 && LaneAnew() == 0;
  const SsdPlaces places(part);
  const uint32_t p = SharedAddress(&shared->p[slot]), p_operand = SharedOperand(&shared->p[slot]);
  const float d = args.d[head];
  SsdState<kDState> state;
  state.Load(DeviceStateIn<S>(work.span, args.state_offset), head * kSsdHeadDim + 16 * part);
  ClearP(places, p);
  for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
    const uint32_t now = chunk % kSsdStages, before = (chunk + kSsdStages - 1) % kSsdStages;
    const SsdStage<kDState>& stage = shared->stages[now];
    const uint32_t b = SharedOperand(stage.b), c = SharedOperand(stage.c);
    const uint32_t x_panel = SharedAddress(&stage.x[slot]);
    const DecayTable& decays = shared->decays[now][slot];
    WaitForPhase(&shared->full[now], chunk / kSsdStages % 2);
    float g[32];
    BeginG<kDState>(places, SharedAddress(stage.c), b, g);
    MeetWarpgroup(1 + slot);  // the chunk before is finished, P is free
    if (sends && chunk > 0) {
      StoreBox(&shared->stages[before].x[slot], args.y, work.FirstRow(chunk - 1),
               head * kSsdHeadDim);
    }
    WaitProducts<0>(g);
    StoreP(places, decays, g, p);
    ShowToProducts();
    float y[32];
    state.BeginY(c, y);
    MeetWarpgroup(1 + slot);  // P is there
    if (sends && chunk > 0) {
      WaitBoxesRead();
      Arrive(&shared->empty[before]);
    }
    WaitProducts<0>(y);
    uint32_t x[kChunk / 16][4];
    LoadX(places, x_panel, x);
    ScaleY(places, decays, d, x, y);
    AddFromChunk(p_operand, x, y);
    state.BeginAdvance(places, b, decays, x);
    WaitProducts<1>(y);
    StoreY(places, x_panel, y);
    ShowToProducts();
    state.EndAdvance();
  }
  WriteLastY(args, shared, slot, part);
  state.Store(DeviceStateOut<S>(work.span, args.state_offset), head * kSsdHeadDim + 16 * part);
}

// A block has one sequence and some of its heads. The last warpgroup brings the chunks, kSsdStages
// of them at a time: a warp the boxes, the others a head's decays each. Each head's warpgroup takes
// them as they come, so that one's products run while another works on P. A stage is free again
// when the y that took x's place has left it, half a chunk after its last use: a third stage keeps
// copies under way. Registers are moved to where H is: 3 * 160 + 32 are the four warpgroups' 4 *
// 128. With fewer heads the warpgroups of the missing ones leave at once.
template <uint32_t kDState, typename S>
__global__ void __launch_bounds__((kSsdMaxHeads + 1) * kSsdHeadThreads, 1)
    SsdKernel(const __grid_constant__ SsdArgs args) {
  extern __shared__ SsdPanel ssd_shared[];
  auto* shared = reinterpret_cast<SsdShared<kDState>*>(ssd_shared);
  const uint32_t warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // known to be the whole warp's
  if (warp == 0) {
    shared->work.Find(args, kDState);
    __syncwarp();
    if (LaneAnew() == 0) InitBarriers(shared);
  }
  __syncthreads();
  const uint32_t slot = warp / 4, part = warp % 4;
  if (slot == kSsdMaxHeads) {
    FewerRegisters<32>();
    if (part == kSsdMaxHeads) {
      FeedBoxes(args, shared);
    } else if (part < shared->work.heads) {
      FeedDecays(args, shared, part);
    }
  } else {
    MoreRegisters<160>();
    if (slot < shared->work.heads) WalkChunks<kDState, S>(args, shared, slot, part);
  }
}

bool Aligned(const void* pointer, size_t offset = 0) {
  return (reinterpret_cast<uintptr_t>(pointer) + offset) % 16 == 0;
}

// What takes least time, if a block's time goes as its heads and two more, and the blocks of one
// head begin when the others have ended. A head's result does not depend on it.
SsdShare BestShare(int64_t groups, int32_t group_heads, int64_t processors) {
  SsdShare best = {};
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int32_t heads = 2; heads <= static_cast<int32_t>(kSsdMaxHeads); ++heads) {
    for (int32_t blocks = group_heads / heads; blocks >= 0; --blocks) {
      const int64_t time = CeilDiv(groups * blocks, processors) * (heads + 2) +
                           CeilDiv(groups * (group_heads - blocks * heads), processors) * 3;
      if (time < least) {
        least = time;
        best = {heads, blocks};
      }
    }
  }
  return best;
}

template <uint32_t kDState, typename S>
void Launch(const SsdArgs& args, Context* context) {
  const int64_t groups = int64_t{args.sequences_there} * args.groups;
  const int32_t alone = args.heads / args.groups - args.share.blocks * args.share.heads;
  context->queue->Launch(SsdKernel<kDState, S>,
                         static_cast<uint32_t>(groups * (args.share.blocks + alone)),
                         (kSsdMaxHeads + 1) * kSsdHeadThreads, sizeof(SsdShared<kDState>), args);
}

}  // namespace

bool SsdFits(const SelectiveScanParams& params, const Context& context) {
  return context.precision == Precision::kBf16 && params.head_dim == kSsdHeadDim &&
         (params.d_state == 64 || params.d_state == 128) && params.dt_max >= 0 &&  // log2(dt')
         BoxSourceEncoder() != nullptr && Aligned(params.xbc) && Aligned(params.out) &&
         std::ranges::all_of(params.sequences, [&](auto& span) {
           return Aligned(span.state_in, params.state_offset) &&
                  Aligned(span.state_out, params.state_offset);
         });
}

void SsdScan(const SelectiveScanParams& params, Context* context) {
  const int64_t sequences = CountSpanTiles<kWholeSpan>(params.sequences, 2);
  if (sequences == 0) return;
  int64_t rows = 0;
  for (const StateSpan& span : params.sequences) {
    rows = std::max(rows, span.row_begin + span.row_count);
  }
  const int64_t inner = int64_t{params.heads} * kSsdHeadDim;
  const int64_t columns = inner + 2 * int64_t{params.groups} * params.d_state;
  const SsdArgs args = {.xbc = MakeBoxSource(params.xbc, rows, columns),
                        .y = MakeBoxSource(params.out, rows, inner),
                        .out = static_cast<Bf16Number*>(params.out),
                        .dt = static_cast<const Bf16Number*>(params.dt),
                        .a_log = params.a_log,
                        .dt_bias = params.dt_bias,
                        .d = params.d,
                        .sequences = context->queue->Stage(params.sequences),
                        .dt_stride = params.dt_stride,
                        .state_offset = params.state_offset,
                        .dt_min = params.dt_min,
                        .dt_max = params.dt_max,
                        .sequence_count = static_cast<int32_t>(params.sequences.size()),
                        .heads = params.heads,
                        .groups = params.groups,
                        .sequences_there = static_cast<int32_t>(sequences),
                        .share = BestShare(sequences * params.groups, params.heads / params.groups,
                                           context->processors)};
  WithState(*context, [&](auto* state) {
    using S = std::remove_pointer_t<decltype(state)>;
    params.d_state == 128 ? Launch<128, S>(args, context) : Launch<64, S>(args, context);
  });
}

}  // namespace eidetic::cuda
