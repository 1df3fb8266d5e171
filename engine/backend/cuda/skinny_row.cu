// Flow of a block (8 warps; one block a multiprocessor):
//   1. Starts copying its first weights: they depend on no kernel before it.
//   2. Waits for the kernel before it, puts x, normed and rounded to bf16, into shared memory.
//   3. For each pass of up to 10 tiles of 8 rows of W: every warp multiplies its chunks as they
//      come, each lane what it copied itself, and starts a copy for each one used;
//   4.   adds the warps' sums in order and writes.
//
// Bytes decide: 2 a weight, and memory must not rest while a kernel waits for the one before it. So
// the rings take nearly all of a multiprocessor's shared memory: 6 us of what it gets from memory.
#include <algorithm>

#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/skinny_ring_rows.cuh"
#include "engine/backend/cuda/skinny_row.cuh"
#include "engine/backend/cuda/skinny_row.h"

namespace eidetic::cuda {
namespace {

// Of 227 KB, what leaves room for blocks of a small kernel that runs meanwhile.
constexpr int64_t kSharedBytes = 217 << 10;
constexpr int32_t kWarpSums = kPassTiles * kPassTileRows;
// What lies in dynamic shared memory, in this order: the ring, sums of warps, x.
constexpr int64_t kSumsBegin = int64_t{kRowStages} * kRowStageBytes;
constexpr int64_t kXBegin = kSumsBegin + kRowWarps * kWarpSums * int64_t{sizeof(float)};

// Adds the warps' sums, [8][kWarpSums] in shared memory, in order, and writes.
__device__ inline void WriteSums(const RowArgs& args, const Pass& pass, const RowSums& sums,
                                 float* shared) {
  const int32_t lane = threadIdx.x % 32;
  if (lane < 4) {
    float* own = shared + threadIdx.x / 32 * kWarpSums + 2 * lane;
#pragma unroll
    for (int tile = 0; tile < kPassTiles; ++tile) {
      *reinterpret_cast<float2*>(own + tile * kPassTileRows) = {sums[tile][0], sums[tile][1]};
    }
  }
  __syncthreads();
  const auto add = [&](int32_t at) {
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < kRowWarps; ++warp) sum += shared[warp * kWarpSums + at];
    return sum;
  };
  const auto output = static_cast<int32_t>(threadIdx.x);  // a pass has at most 80
  if (output < pass.count) {
    if (args.swiglu) {
      const int32_t gate = output / kPassTileRows * kPassTileRows + output;
      const float value = SiluFor<Bf16Number>(add(gate)) * add(gate + kPassTileRows);
      args.output.Store<Bf16Number>(0, pass.first + output, value);
    } else {
      args.output.StoreSum<Bf16Number>(0, pass.first + output, add(output));
    }
  }
  __syncthreads();
}

template <NormKind kKind>
__device__ inline void StageNormed(const RowArgs& args, char* to) {
  __shared__ float sums[kNormWarps];
  NormedRow<kKind> normed;
  normed.LoadWeight(args.norm);
  cudaGridDependencySynchronize();
  normed.Stage(args.norm, 0, sums, to);
}

__device__ inline void StageX(const RowArgs& args, char* to) {
  if (args.norm.weight == nullptr) {
    const auto* x = static_cast<const Bf16Number*>(args.norm.x);
    cudaGridDependencySynchronize();
#pragma unroll 3
    for (int32_t at = threadIdx.x * kPiece; at < args.columns; at += kRowThreads * kPiece) {
      *reinterpret_cast<uint4*>(to + at * 2) = *reinterpret_cast<const uint4*>(x + at);
    }
  } else if (args.norm.x_is_float) {
    StageNormed<NormKind::kFloat32>(args, to);
  } else {
    StageNormed<NormKind::kGated>(args, to);
  }
  __syncthreads();
}

// Blocks of a small kernel find registers left, too.
__global__ void __launch_bounds__(kRowThreads, 2) SkinnyRowKernel(const RowArgs args) {
  extern __shared__ uint4 ring[];
  char* bytes = reinterpret_cast<char*>(ring);
  const Share share(args.output);
  cudaTriggerProgrammaticLaunchCompletion();
  TileStream stream(args, share, ring);
  for (int i = 0; i < kRowStages; ++i) stream.Refill();
  StageX(args, bytes + kXBegin);
  for (int32_t first = share.begin; first < share.end; first += Pass::MaxOutputs(args)) {
    const Pass pass(args, share, first);
    RowSums sums = {};
    MultiplyPass(args, pass, bytes + kXBegin, &stream, sums);
    WriteSums(args, pass, sums, reinterpret_cast<float*>(bytes + kSumsBegin));
  }
}

int64_t SharedBytes(const MatMulParams& params) {
  return kXBegin + CeilDiv(params.w->cols(), kPiece) * 16;
}

}  // namespace

bool SkinnyRowTakes(const MatMulParams& params) {
  return params.rows == 1 && SharedBytes(params) <= kSharedBytes;
}

void SkinnyRow(const MatMulParams& params, Context* context) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const RowArgs args = {.w = static_cast<const Bf16Number*>(w.data()),
                        .norm = ToNormArgs(InputNormParams(params, nullptr)),
                        .output = ToProductOutput(params, params.swiglu ? w.rows() / 2 : w.rows()),
                        .columns = static_cast<int32_t>(w.cols()),
                        .rounds = static_cast<int32_t>(CeilDiv(w.cols(), kRowRound)),
                        .swiglu = params.swiglu};
  const auto blocks =
      static_cast<uint32_t>(std::min<int64_t>(context->processors, args.output.outputs));
  context->queue->Launch(SkinnyRowKernel, dim3(blocks), dim3(kRowThreads), SharedBytes(params),
                         args, Overlap::kPrologue);
}

}  // namespace eidetic::cuda
