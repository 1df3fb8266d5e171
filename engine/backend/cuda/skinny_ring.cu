// Flow of a block (a last warp beside sixteen; one block a multiprocessor):
//   1. The last warp starts copying weights into the ring: they depend on no kernel before it.
//      It goes on, a stage for each that the others have read.
//   2. The others wait for the kernel before it and put x, normed and rounded to bf16, into shared
//      memory;
//   3.   for each tile of 16 rows of W multiply their chunks as the stages come;
//   4.     add the warps' sums in order, round by round; after the last round write.
//
// Bytes decide: 2 a weight, and memory must not rest while a kernel waits for the one before it. So
// the ring takes nearly all of a multiprocessor's shared memory: 6 us of what it gets from memory.
#include <algorithm>

#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/skinny_ring.cuh"
#include "engine/backend/cuda/skinny_ring.h"
#include "engine/backend/cuda/skinny_ring_rows.cuh"

namespace eidetic::cuda {
namespace {

// Where memory sends W in less than some 2 us, as it does a small model's, a kernel is little more
// than its start, which is longer for one that fills the multiprocessor.
constexpr int64_t kMinWeightBytes = 8 << 20;
// Of 227 KB, what leaves room for blocks of a small kernel that runs meanwhile.
constexpr int64_t kSharedBytes = 217 << 10;
// A tile's, and one that is under way.
constexpr int64_t kMinStages = kQuarters + 1;
// Registers of a thread: blocks of a small kernel find some left, too.
constexpr int32_t kRegisters = 80;
// Floats between the rows of a warp's sums: lanes that write side by side meet no bank twice.
constexpr int32_t kSumsPitch = 20;
constexpr int32_t kWarpSums = kRingRows * kSumsPitch;
// What remains of them when warps are added.
constexpr int32_t kTileSums = kRingRows * kTileRows;

// The sum over warps of what thread i < kTileSums writes: row i / 16 of x, row i % 16 of the tile.
// In the other threads zero. Calls take two halves of `shared` in turns: who writes one has
// passed the barrier after everybody's reads from it.
__device__ inline float AddWarps(const LaneSums& sums, float* shared) {
  const int32_t g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  if (t < kRingRows / 2) {
    float* own = shared + threadIdx.x / 32 * kWarpSums + 2 * t * kSumsPitch + HalfRow(g);
    own[0] = sums[0][0] + sums[1][0];
    own[kSumsPitch] = sums[0][1] + sums[1][1];
    own[kHalfTile] = sums[0][2] + sums[1][2];
    own[kSumsPitch + kHalfTile] = sums[0][3] + sums[1][3];
  }
  SyncConsumers();
  float sum = 0;
  if (threadIdx.x < kTileSums) {
    const int32_t at = threadIdx.x / kTileRows * kSumsPitch + threadIdx.x % kTileRows;
#pragma unroll
    for (int warp = 0; warp < kRingWarps; ++warp) sum += shared[warp * kWarpSums + at];
  }
  return sum;
}

// Whole warps are here: a SwiGLU's gate and up are 8 lanes apart.
__device__ inline void WriteSum(const RingArgs& args, const Tile& tile, float sum) {
  const int32_t row = threadIdx.x / kTileRows;
  const int32_t output = threadIdx.x % kTileRows;
  const float up = args.swiglu ? __shfl_down_sync(~0u, sum, kHalfTile) : 0.0f;
  if (row >= args.rows || output >= tile.count) return;
  if (args.swiglu) {
    args.output.Store<Bf16Number>(row, tile.first + output, SiluFor<Bf16Number>(sum) * up);
  } else {
    args.output.StoreSum<Bf16Number>(row, tile.first + output, sum);
  }
}

// What lies in dynamic shared memory, in this order.
struct SharedParts {
  char* ring;
  float* warp_sums;  // [2][16][kWarpSums]
  char* x;

  __device__ SharedParts(const RingArgs& args, char* bytes)
      : ring(bytes),
        warp_sums(reinterpret_cast<float*>(ring + args.stages * StageBytes(args))),
        x(reinterpret_cast<char*>(warp_sums + 2 * kRingWarps * kWarpSums)) {}
};

// By the norm's threads.
template <NormKind kKind>
__device__ inline void StageNormed(const RingArgs& args, char* to) {
  __shared__ float sums[kRingRows * kNormWarps];
  NormedRow<kKind> normed;
  normed.LoadWeight(args.norm);
  cudaGridDependencySynchronize();
  for (int32_t row = 0; row < args.rows; ++row) {
    normed.Stage(args.norm, row, sums + row * kNormWarps, to + row * XPitch(args));
  }
}

__device__ inline void StageX(const RingArgs& args, char* to, RingBarriers* barriers) {
  if (threadIdx.x >= kNormThreads) {
    cudaGridDependencySynchronize();
  } else if (args.norm.weight == nullptr) {
    cudaGridDependencySynchronize();
    if (threadIdx.x < 32) StageRows(args, to, &barriers->x);
  } else if (args.norm.x_is_float) {
    StageNormed<NormKind::kFloat32>(args, to);
  } else {
    StageNormed<NormKind::kGated>(args, to);
  }
  SyncConsumers();
  if (threadIdx.x == 0) Arrive(&barriers->staged);
}

__device__ inline void Consume(const RingArgs& args, const Share& share, const SharedParts& shared,
                               RingBarriers* barriers) {
  StageX(args, shared.x, barriers);
  const LaneReader reader(args, shared.ring, shared.x);
  RingPlace place;
  int32_t rounds = 0;
  for (int32_t first = share.begin; first < share.end; first += args.tile_outputs) {
    const Tile tile(args, share, first);
    float sum = 0;
    for (int32_t round = 0; round < args.rounds; ++round) {
      LaneSums sums = {};
      reader.MultiplyRound(args, tile, round, &place, barriers, sums);
      sum += AddWarps(sums, shared.warp_sums + rounds++ % 2 * kRingWarps * kWarpSums);
    }
    if (threadIdx.x < kTileSums) WriteSum(args, tile, sum);
  }
}

__global__ void __maxnreg__(kRegisters) SkinnyRingKernel(const RingArgs args) {
  extern __shared__ uint4 bytes[];
  __shared__ RingBarriers barriers;
  const Share share(args.output);
  const SharedParts shared(args, reinterpret_cast<char*>(bytes));
  cudaTriggerProgrammaticLaunchCompletion();
  if (threadIdx.x == 0) barriers.Init(args.stages);
  __syncthreads();
  if (threadIdx.x >= kConsumers) {
    Produce(args, share, shared.ring, &barriers);
  } else {
    Consume(args, share, shared, &barriers);
  }
}

RingArgs MakeArgs(const MatMulParams& params) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const int64_t steps = CeilDiv(w.cols(), kStep);
  const int64_t round_steps = CeilDiv(steps, CeilDiv(steps, kMaxRoundSteps));
  const int64_t rounds = CeilDiv(steps, round_steps);
  // Rows that are one round follow one another without a gap: a quarter is one copy.
  const int64_t row_columns = rounds == 1 ? w.cols() : round_steps * kStep;
  RingArgs args = {.w = static_cast<const Bf16Number*>(w.data()),
                   .norm = ToNormArgs(InputNormParams(params, nullptr)),
                   .output = ToProductOutput(params, params.swiglu ? w.rows() / 2 : w.rows()),
                   .columns = static_cast<int32_t>(w.cols()),
                   .rows = static_cast<int32_t>(params.rows),
                   .tile_outputs = params.swiglu ? kHalfTile : kTileRows,
                   .round_columns = static_cast<int32_t>(round_steps * kStep),
                   .rounds = static_cast<int32_t>(rounds),
                   .row_bytes = static_cast<int32_t>(row_columns * sizeof(Bf16Number)),
                   .swiglu = params.swiglu};
  const int64_t beside =
      2 * kRingWarps * kWarpSums * sizeof(float) + int64_t{XPitch(args)} * args.rows;
  args.stages = static_cast<int32_t>(
      std::clamp<int64_t>((kSharedBytes - beside) / StageBytes(args), 0, kMaxStages));
  return args;
}

}  // namespace

bool SkinnyRingTakes(const MatMulParams& params, const Context& context) {
  const int64_t weights = params.w->rows() * params.w->cols();
  return !context.batch_invariant && params.rows <= kRingRows &&
         weights * int64_t{sizeof(Bf16Number)} >= kMinWeightBytes &&
         MakeArgs(params).stages >= kMinStages;
}

bool SkinnyRingNorms(const MatMulParams& params) {
  const RmsNormParams norm = InputNormParams(params, nullptr);
  const bool is_float = norm.x_number == Number::kFloat32;
  return norm.dim <= kMaxNormColumns && FitsPieces(norm) && is_float == (norm.gate == nullptr);
}

void SkinnyRing(const MatMulParams& params, Context* context) {
  const RingArgs args = MakeArgs(params);
  const auto blocks =
      static_cast<uint32_t>(std::min<int64_t>(context->processors, args.output.outputs));
  context->queue->Launch(SkinnyRingKernel, dim3(blocks), dim3(kRingThreads), kSharedBytes, args,
                         Overlap::kPrologue);
}

}  // namespace eidetic::cuda
