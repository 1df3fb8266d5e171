#include "engine/backend/cuda/exact_scores.cuh"
#include "engine/backend/cuda/kept_scores.h"
#include "engine/backend/cuda/partial_scan.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;

// What the warps of a CTA that scores kept blocks share.
struct KeptDesk {
  uint32_t maxima[kMostRunGroups];
  uint16_t kept[kMostRunGroups * kGroupBlocks];  // blocks, counted from the run's beginning
  int32_t count, bin, of_choice;
  uint32_t sums[kWarps];
};

// Whole CTA: the bin from which on as many blocks are counted as a partial scan leaves, and how
// many they are.
__device__ inline void FindKeptBin(const Choice& choice, KeptDesk* desk) {
  constexpr int32_t kMine = kPartialBins / kThreads;
  const int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const auto wanted = static_cast<uint32_t>(max(choice.wanted(), choice.distant() / kKeptPart));
  // From the top: thread 0 has the uppermost ones.
  const int32_t first = kPartialBins - kMine * (static_cast<int32_t>(threadIdx.x) + 1);
  uint32_t counts[kMine], sum = 0;
#pragma unroll
  for (int32_t i = 0; i < kMine; ++i) sum += counts[i] = choice.bins()[first + i];
  uint32_t above = sum;
#pragma unroll
  for (int32_t i = 1; i < 32; i *= 2) {
    const uint32_t other = __shfl_up_sync(~0u, above, i);
    if (lane >= i) above += other;
  }
  if (lane == 31) desk->sums[warp] = above;
  if (threadIdx.x == 0) desk->bin = 0, desk->of_choice = choice.distant();  // fewer than wanted
  __syncthreads();
  above -= sum;
  for (int32_t i = 0; i < warp; ++i) above += desk->sums[i];
#pragma unroll
  for (int32_t i = kMine - 1; i >= 0; --i) {
    const uint32_t with = above + counts[i];
    if (above < wanted && wanted <= with) {
      desk->bin = first + i;
      desk->of_choice = static_cast<int32_t>(with);
    }
    above = with;
  }
  __syncthreads();
}

// A run is every gridDim.x-th group from blockIdx.x on, since what is kept stands together.
// Worked example: of 5 groups in 2 runs run 1 has groups 1 and 3; its block 70 is block 6 of
// group 3.
__device__ inline int32_t RunBlock(int32_t of) {
  return static_cast<int32_t>(blockIdx.x + of / kGroupBlocks * gridDim.x) * kGroupBlocks +
         of % kGroupBlocks;
}

// Whole CTA: lists the run's blocks that are left; the others have no rank.
__device__ inline void ListKept(const Choice& choice, int32_t run_groups, KeptDesk* desk) {
  for (int32_t of = threadIdx.x; of < run_groups * kGroupBlocks; of += kThreads) {
    const int32_t at = RunBlock(of);
    if (at >= choice.distant()) continue;
    if (PartialBin(choice.partial_scores()[at]) >= desk->bin) {
      desk->kept[atomicAdd(&desk->count, 1)] = static_cast<uint16_t>(of);
    } else {
      choice.estimates()[at] = 0;
    }
  }
  __syncthreads();
}

// A warp a block of those that are left.
template <int kSteps>
__device__ void ScoreRun(const Choice& choice, KeptDesk* desk) {
  const int32_t lane = threadIdx.x % 32, count = desk->count;
  for (int32_t i = threadIdx.x / 32; i < count; i += 32 * kWarps) {
    // Where this block's and the next ones' keys are, a lane each.
    const int32_t mine = min(i + lane * kWarps, count - 1);
    const int32_t block = choice.plan.request.first + RunBlock(desk->kept[mine]);
    const auto address = reinterpret_cast<unsigned long long>(choice.Keys<Bf16Number>(block));
    for (int32_t k = 0; k < 32 && i + k * kWarps < count; ++k) {
      const auto* keys = reinterpret_cast<const Bf16Number*>(__shfl_sync(~0u, address, k));
      const uint32_t rank = __reduce_max_sync(~0u, RankOf(ScoreBlock<kSteps, false>(choice, keys)));
      if (lane != 0) continue;
      const int32_t of = desk->kept[i + k * kWarps];
      choice.estimates()[RunBlock(of)] = rank;
      atomicMax(desk->maxima + of / kGroupBlocks, rank);
    }
  }
}

struct KeptArgs {
  RetrievalJob job;
  int32_t run_groups;  // of one CTA, at most
};

// A gather of codes, in pieces of 16 bytes, takes the memory as long as a gather of keys: what a
// partial scan leaves is scored exactly at once. Grid: (runs, choices).
// 1. The border's bin. 2. The run's blocks that are left. 3. A warp a block. 4. The groups' maxima.
template <int kSteps>
__global__ void __launch_bounds__(kThreads, 2) ScoreKeptKernel(const KeptArgs args) {
  __shared__ KeptDesk desk;
  const Choice choice(args.job, blockIdx.y);
  FollowStage();
  if (!choice.plan.partial || !choice.IsScanned()) return;
  if (static_cast<int32_t>(blockIdx.x) >= choice.groups()) return;
  if (threadIdx.x < kMostRunGroups) desk.maxima[threadIdx.x] = 0;
  if (threadIdx.x == 0) desk.count = 0;
  FindKeptBin(choice, &desk);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    choice.state() = {0, 0, desk.of_choice, desk.of_choice, 0};
  }
  ListKept(choice, args.run_groups, &desk);
  ScoreRun<kSteps>(choice, &desk);
  __syncthreads();
  const auto i = static_cast<int32_t>(threadIdx.x);
  const auto group = static_cast<int32_t>(blockIdx.x + i * gridDim.x);
  if (i < args.run_groups && group < choice.groups()) {
    choice.group_estimates()[group] = desk.maxima[i];
  }
}

}  // namespace

void ScoreKept(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  const int64_t groups = shape.rank_room / kGroupBlocks;
  const int64_t run = RunGroups(shape, *context, 2);
  context->queue->Launch(job.page.head_dim == 64 ? ScoreKeptKernel<4> : ScoreKeptKernel<8>,
                         dim3(CeilDiv(groups, run), shape.choices), dim3(kThreads), 0,
                         KeptArgs{job, static_cast<int32_t>(run)}, Overlap::kPrologue);
}

}  // namespace eidetic::cuda
