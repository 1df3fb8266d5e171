// Flow of a block (8 warps; one or two blocks a multiprocessor):
//   1. Starts copying its first weights: they depend on no kernel before it.
//   2. Waits for the kernel before it; with a norm, sums the squares of x's rows.
//   3. For each slab of columns: puts x, normed and rounded to bf16, into shared memory.
//   4.   For each of its groups of 16 rows of W: every warp multiplies its chunks as they come, and
//        starts a copy for each one used, across the borders of groups and slabs.
//   5.     Adds the warps' sums in order; adds them to the slabs' before; after the last slab
//   writes.
// The order of additions depends on W's shape alone: columns of mma are independent of each other.
//
// Bytes decide: 2 a weight. At 4.2 TB/s each of 132 multiprocessors must have 32 KB under way for
// every microsecond of latency; 64 KB a block is enough even where one block is alone on it, and
// leaves room for the next kernel's first blocks to begin theirs.
#include <algorithm>

#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/skinny_mat_mul.cuh"
#include "engine/backend/cuda/skinny_mat_mul.h"

namespace eidetic::cuda {
namespace {

// 4096 columns: 16 rows of them, the ring and the rest are within 227 KB.
constexpr int32_t kMaxSlabRounds = 8;
// Groups of a block when there are several slabs: their sums wait in shared memory, 1 KB each.
constexpr int32_t kMaxSlabGroups = 16;
// Each block norms all rows anew. An estimate of how long that is cheaper than one more kernel.
constexpr int32_t kNormRows = 4;
// Of 228 KB two blocks get half each, less the kilobyte that a block costs and static memory.
constexpr int64_t kHalfShared = 112 << 10;
// Floats between the rows of a warp's sums: 4 lanes that write side by side meet no bank twice.
constexpr int32_t kSumsPitch = 20;

// Of the dynamic shared memory, in bytes: ring, sums of warps, sums of slabs, slab of x.
template <int kBlocks>
struct Shared {
  static constexpr int32_t kSums = kStages * kStagePieces * 16;
  static constexpr int32_t kWarpSums = kBlocks * kBlockRows * kSumsPitch;  // floats
  static constexpr int32_t kTotals = kSums + kSkinnyWarps * kWarpSums * 4;
  static constexpr int32_t kGroupTotals = kBlocks * kBlockRows * kGroupRows;  // floats
};

// The sum over warps of what thread i < kBlocks * 128 writes: row i / 16 of x, row i % 16 of the
// group. In the other threads zero.
template <int kBlocks>
__device__ inline float AddWarps(const float (&sums)[kBlocks][4], float* shared) {
  constexpr int32_t kWarpSums = Shared<kBlocks>::kWarpSums;
  const int32_t lane = threadIdx.x % 32;
  float* own = shared + threadIdx.x / 32 * kWarpSums + lane % 4 * 2 * kSumsPitch + lane / 4;
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    float* block = own + b * kBlockRows * kSumsPitch;
    block[0] = sums[b][0];
    block[kSumsPitch] = sums[b][1];
    block[8] = sums[b][2];
    block[kSumsPitch + 8] = sums[b][3];
  }
  __syncthreads();
  float sum = 0;
  if (threadIdx.x < Shared<kBlocks>::kGroupTotals) {
    const int32_t at = threadIdx.x / kGroupRows * kSumsPitch + threadIdx.x % kGroupRows;
#pragma unroll
    for (int warp = 0; warp < kSkinnyWarps; ++warp) sum += shared[warp * kWarpSums + at];
  }
  __syncthreads();
  return sum;
}

// Whole warps are here: a SwiGLU's gate and up are 8 lanes apart.
__device__ inline void WriteSum(const SkinnyArgs& args, int32_t group, int64_t first_row,
                                int32_t rows, float sum) {
  const int32_t row = threadIdx.x / kGroupRows;
  const int32_t output = threadIdx.x % kGroupRows;
  if (args.swiglu) {
    const float up = __shfl_down_sync(~0u, sum, kGroupRows / 2);
    const int64_t at = int64_t{group} * (kGroupRows / 2) + output;
    if (row < rows && output < kGroupRows / 2 && at < args.output.outputs) {
      args.output.Store<Bf16Number>(first_row + row, at, SiluFor<Bf16Number>(sum) * up);
    }
  } else {
    const int64_t at = int64_t{group} * kGroupRows + output;
    if (row < rows && at < args.output.outputs) {
      args.output.StoreSum<Bf16Number>(first_row + row, at, sum);
    }
  }
}

template <NormKind kKind>
__device__ inline void SumRows(const NormArgs& norm, int32_t rows, float* sums) {
  if (rows == 1) {
    SumSquares<Bf16Number, kKind, kPiece, 1>(norm, 0, rows, sums);
  } else if (rows == 2) {
    SumSquares<Bf16Number, kKind, kPiece, 2>(norm, 0, rows, sums);
  } else {
    SumSquares<Bf16Number, kKind, kPiece, kNormRows>(norm, 0, rows, sums);
  }
}

// inverse_rms of the rows, [kNormRows] in shared memory. The caller synchronizes.
__device__ inline void NormRows(const NormArgs& norm, int32_t rows, float* inverse_rms) {
  __shared__ float sums[kNormRows * kNormWarps];
  if (norm.x_is_float) {
    SumRows<NormKind::kFloat32>(norm, rows, sums);
  } else {
    SumRows<NormKind::kGated>(norm, rows, sums);
  }
  __syncthreads();
  if (threadIdx.x < rows) {
    inverse_rms[threadIdx.x] = InverseRms(norm, sums + threadIdx.x * kNormWarps);
  }
}

// A slab of x into shared memory.
__device__ inline void StageSlab(const SkinnyArgs& args, const SlabPieces& pieces,
                                 int64_t first_row, const float* inverse_rms, int32_t pitch,
                                 char* slab) {
  if (args.norm.weight == nullptr) {
    StageRows(args, pieces, first_row, pitch, slab);
  } else if (args.norm.x_is_float) {
    StageNormedRows<NormKind::kFloat32>(args, pieces, inverse_rms, pitch, slab);
  } else {
    StageNormedRows<NormKind::kGated>(args, pieces, inverse_rms, pitch, slab);
  }
}

// Bounded by 3 blocks' registers, so that one of the next kernel fits beside two.
template <int kBlocks>
__global__ void __launch_bounds__(kSkinnyThreads, 3) SkinnyKernel(const SkinnyArgs args) {
  extern __shared__ uint4 shared[];
  __shared__ float inverse_rms[kNormRows];
  char* bytes = reinterpret_cast<char*>(shared);
  float* warp_sums = reinterpret_cast<float*>(bytes + Shared<kBlocks>::kSums);
  float* totals = reinterpret_cast<float*>(bytes + Shared<kBlocks>::kTotals);
  const bool one_slab = args.slab_rounds == args.rounds;
  char* slab = reinterpret_cast<char*>(
      totals + (one_slab ? 0 : kMaxSlabGroups * Shared<kBlocks>::kGroupTotals));
  const int32_t pitch = SlabPitch(args.slab_rounds);
  const int64_t first_row = int64_t{blockIdx.x} * (kBlocks * kBlockRows);
  const int32_t rows =
      static_cast<int32_t>(min(args.rows - first_row, int64_t{kBlocks} * kBlockRows));

  cudaTriggerProgrammaticLaunchCompletion();
  WeightStream weights = {.ring = shared + threadIdx.x,
                          .ahead = {.group = static_cast<int32_t>(blockIdx.y)}};
  for (int s = 0; s < kStages; ++s) weights.Refill(args);
  cudaGridDependencySynchronize();
  if (args.norm.weight != nullptr) NormRows(args.norm, rows, inverse_rms);
  // Where lane (g, t) finds row g of each block of 8: beyond the last, the last, and unused.
  const char* x[kBlocks];
  const int32_t lane = threadIdx.x % 32;
  for (int b = 0; b < kBlocks; ++b) {
    x[b] = slab + min(b * kBlockRows + lane / 4, rows - 1) * pitch + lane % 4 * 16;
  }
  for (int32_t slab_begin = 0; slab_begin < args.rounds; slab_begin += args.slab_rounds) {
    __syncthreads();
    StageSlab(args, SlabPieces(args, slab_begin, rows), first_row, inverse_rms, pitch, slab);
    __syncthreads();
    float* total = totals + threadIdx.x;
    for (int32_t group = blockIdx.y; group < args.groups; group += gridDim.y) {
      float sums[kBlocks][4] = {};
      MultiplySlab(args, slab_begin, x, &weights, sums);
      float sum = AddWarps(sums, warp_sums);
      if (threadIdx.x >= Shared<kBlocks>::kGroupTotals) continue;
      if (slab_begin > 0) sum += *total;
      if (SlabEnd(args, slab_begin) < args.rounds) {
        *total = sum;
      } else {
        WriteSum(args, group, first_row, rows, sum);
      }
      total += Shared<kBlocks>::kGroupTotals;
    }
  }
}

template <int kBlocks>
void LaunchSkinny(const SkinnyArgs& args, Context* context) {
  const bool one_slab = args.slab_rounds == args.rounds;
  const int64_t row_blocks = CeilDiv(args.rows, kBlocks * kBlockRows);
  const int64_t shared =
      Shared<kBlocks>::kTotals +
      (one_slab ? 0 : kMaxSlabGroups * Shared<kBlocks>::kGroupTotals * int64_t{sizeof(float)}) +
      int64_t{SlabPitch(args.slab_rounds)} * std::min(args.rows, kBlocks * kBlockRows);
  const int64_t places = context->processors * (shared <= kHalfShared ? 2 : 1);
  // As many groups for each block, and no more blocks than run at once.
  const int64_t at_once = std::max<int64_t>(1, places / row_blocks);
  int64_t block_groups = CeilDiv(args.groups, at_once);
  if (!one_slab) block_groups = std::min<int64_t>(block_groups, kMaxSlabGroups);
  // Blocks that share weights are neighbours, so that the second finds them in L2.
  const dim3 grid(row_blocks, CeilDiv(args.groups, block_groups));
  context->queue->Launch(SkinnyKernel<kBlocks>, grid, dim3(kSkinnyThreads), shared, args,
                         Overlap::kPrologue);
}

}  // namespace

bool SkinnyMatMulTakes(const MatMulParams& params, const Context& context) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const bool reads_x = params.norm.weight == nullptr;
  return context.precision == Precision::kBf16 && w.cols() % kPiece == 0 &&
         AlignedForPieces(w.data(), reads_x ? params.x : nullptr);
}

bool SkinnyMatMulNorms(const MatMulParams& params) {
  const RmsNormParams norm = InputNormParams(params, nullptr);
  const bool is_float = norm.x_number == Number::kFloat32;
  return params.rows <= kNormRows && FitsPieces(norm) && is_float == (norm.gate == nullptr);
}

void SkinnyMatMul(const MatMulParams& params, Context* context) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const int64_t outputs = params.swiglu ? w.rows() / 2 : w.rows();
  const int64_t rounds = CeilDiv(w.cols(), kRound);
  const SkinnyArgs args = {
      .w = static_cast<const Bf16Number*>(w.data()),
      .norm = ToNormArgs(InputNormParams(params, nullptr)),
      .output = ToProductOutput(params, outputs),
      .columns = static_cast<int32_t>(w.cols()),
      .rows = static_cast<int32_t>(params.rows),
      .groups = static_cast<int32_t>(CeilDiv(outputs, params.swiglu ? kGroupRows / 2 : kGroupRows)),
      .rounds = static_cast<int32_t>(rounds),
      .slab_rounds = static_cast<int32_t>(CeilDiv(rounds, CeilDiv(rounds, kMaxSlabRounds))),
      .swiglu = params.swiglu};
  if (params.rows <= kBlockRows) {
    LaunchSkinny<1>(args, context);
  } else {
    LaunchSkinny<2>(args, context);
  }
}

}  // namespace eidetic::cuda
