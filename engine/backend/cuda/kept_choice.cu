#include <algorithm>

#include "engine/backend/cuda/bulk_copy.cuh"
#include "engine/backend/cuda/exact_scores.cuh"
#include "engine/backend/cuda/kept_choice.h"
#include "engine/backend/cuda/partial_scan.h"
#include "engine/backend/cuda/span_work.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = kSelectThreads;
constexpr int32_t kWarps = kThreads / 32;
// Entries that the first CTA chooses from in shared memory: more than are kept of four million
// tokens. More are read from memory in every pass.
constexpr int32_t kMostEntries = 4096;

// Half blocks that a warp has on their way, and room for: 12 KB at 128 channels, 192 KB a
// multiprocessor. Pages stand anywhere in many gigabytes, and finding them takes the memory long.
constexpr int32_t kSlots = 3;
constexpr int32_t kHalf = kFastBlock / 2;
// Rounds of the list whose scores a thread has in registers.
constexpr int32_t kHeld = 4;

// What the warps of a CTA share. Behind it stand the warps' slots, and in their place later the
// list of what is chosen from.
struct alignas(16) KeptDesk {
  Desk desk;
  uint64_t filled[kWarps][kSlots];
  uint32_t sums[kWarps];
  uint32_t place;  // of the CTA's first block in the list
  uint32_t count;  // of the list; the first CTA's is the cluster's
  int32_t bin;
};

struct KeptArgs {
  RetrievalJob job;
  int32_t entry_room;
};

// Whole CTA: a value a thread; the sum of those of lower threads. `total`: of all.
__device__ inline uint32_t SumBelow(uint32_t own, KeptDesk* desk, uint32_t* total) {
  const int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t sum = own;
#pragma unroll
  for (int32_t i = 1; i < 32; i *= 2) {
    const uint32_t other = __shfl_up_sync(~0u, sum, i);
    if (lane >= i) sum += other;
  }
  __syncthreads();
  if (lane == 31) desk->sums[warp] = sum;
  __syncthreads();
  uint32_t below = sum - own, all = 0;
#pragma unroll
  for (int32_t i = 0; i < kWarps; ++i) {
    if (i < warp) below += desk->sums[i];
    all += desk->sums[i];
  }
  *total = all;
  return below;
}

// Whole CTA: the bin from which on as many blocks are counted as a partial scan leaves; the lowest
// where they are fewer.
__device__ inline void FindKeptBin(const Choice& choice, KeptDesk* desk) {
  constexpr int32_t kMine = kPartialBins / kThreads;
  static_assert(kMine == 8);
  const auto wanted = static_cast<uint32_t>(max(choice.wanted(), choice.distant() / kKeptPart));
  // From the top: thread 0 has the uppermost ones.
  const int32_t first = kPartialBins - kMine * (static_cast<int32_t>(threadIdx.x) + 1);
  const auto* from = reinterpret_cast<const uint4*>(choice.bins() + first);
  const uint4 low = from[0], high = from[1];
  const uint32_t counts[kMine] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  uint32_t sum = 0, all;
#pragma unroll
  for (int32_t i = 0; i < kMine; ++i) sum += counts[i];
  if (threadIdx.x == 0) desk->bin = 0;
  uint32_t above = SumBelow(sum, desk, &all);
#pragma unroll
  for (int32_t i = kMine - 1; i >= 0; --i) {
    if (above < wanted && wanted <= above + counts[i]) desk->bin = first + i;
    above += counts[i];
  }
  __syncthreads();
}

// What a thread looks at: of each round of all CTAs of the cluster four blocks.
template <int kCtas>
struct Share {
  static constexpr int32_t kRound = kCtas * kThreads * 4;
  float4 scores[kHeld];
  int32_t begin;

  __device__ Share(const Choice& choice, int32_t first)
      : begin(first + static_cast<int32_t>((blockIdx.x % kCtas * kThreads + threadIdx.x) * 4)) {
#pragma unroll
    for (int32_t k = 0; k < kHeld; ++k) {
      const int32_t at = begin + k * kRound;
      // Room for the scores is a power of two: four stand together, some perhaps past the end.
      if (at < choice.distant()) {
        scores[k] = *reinterpret_cast<const float4*>(choice.partial_scores() + at);
      }
    }
  }
  // Calls take(block), counted from the first distant one.
  template <typename Take>
  __device__ void ForKept(int32_t distant, int32_t bin, Take take) const {
#pragma unroll
    for (int32_t k = 0; k < kHeld; ++k) {
      const float of[4] = {scores[k].x, scores[k].y, scores[k].z, scores[k].w};
#pragma unroll
      for (int32_t i = 0; i < 4; ++i) {
        const int32_t at = begin + k * kRound + i;
        if (at < distant && PartialBin(of[i]) >= bin) take(at);
      }
    }
  }
};

// Lists what is kept. Of each share: 1. Counts. 2. One place in the list for all that the CTA has.
// 3. Writes.
template <int kCtas>
__device__ void ListKept(const Choice& choice, Share<kCtas> share, KeptDesk* desk) {
  const int32_t distant = choice.distant(), bin = desk->bin;
  for (int32_t first = 0;; share = Share<kCtas>(choice, first)) {
    uint32_t own = 0, all;
    share.ForKept(distant, bin, [&](int32_t) { ++own; });
    uint32_t place = SumBelow(own, desk, &all);
    if (threadIdx.x == 0) {
      uint32_t* count = &desk->count;
      if constexpr (kCtas > 1) count = cooperative_groups::this_cluster().map_shared_rank(count, 0);
      desk->place = atomicAdd(count, all);
    }
    __syncthreads();
    place += desk->place;
    share.ForKept(distant, bin,
                  [&](int32_t at) { choice.kept()[place++] = choice.plan.request.first + at; });
    first += kHeld * Share<kCtas>::kRound;
    if (first >= distant) return;
  }
}

// One warp's way through its blocks, every kStep-th of the list from its own on.
template <int kSteps, int kCtas>
struct KeptWarp {
  static constexpr int32_t kStep = kWarps * kCtas;
  static constexpr uint32_t kBytes = kHalf * 16 * kSteps * sizeof(Bf16Number);
  const Choice& choice;
  std::byte* slots;
  uint64_t* filled;
  int32_t first, count;  // of the list
  unsigned long long address = 0;

  // Half block `half` of the warp's comes to its slot.
  __device__ void Fetch(int32_t half, int32_t slot) {
    const auto lane = static_cast<int32_t>(threadIdx.x % 32);
    const int32_t block = half / 2;
    if (half % 64 == 0) {
      // Where this block's and the next ones' keys are, a lane each.
      const int32_t mine = min(first + (block + lane) * kStep, count - 1);
      address = reinterpret_cast<unsigned long long>(choice.Keys<Bf16Number>(choice.kept()[mine]));
    }
    const auto* from = reinterpret_cast<const std::byte*>(__shfl_sync(~0u, address, block % 32));
    if (lane != 0) return;
    ArriveExpecting(filled + slot, kBytes);
    CopyBulkOnce(slots + slot * kBytes, from + half % 2 * kBytes, kBytes, filled + slot);
  }
  // A block's rank stands where partial scores stood.
  __device__ void Run() {
    const int32_t halves = first < count ? ((count - 1 - first) / kStep + 1) * 2 : 0;
    const auto lane = static_cast<int32_t>(threadIdx.x % 32);
    for (int32_t i = 0; i < min(kSlots, halves); ++i) Fetch(i, i);
    uint2 q[kSteps];
    LoadColumn(choice, lane / 4, q);
    const int32_t valid = choice.column_count() - lane % 4 * 2;
    float best = -INFINITY;
    int32_t slot = 0;
    uint32_t parity = 0;
    for (int32_t half = 0; half < halves; ++half) {
      WaitForPhase(filled + slot, parity);
      KeyTile<kSteps> tile;
      tile.Load(reinterpret_cast<const Bf16Number*>(slots + slot * kBytes));
      __syncwarp();
      if (half + kSlots < halves) Fetch(half + kSlots, slot);
      best = fmaxf(best, tile.Best(q, valid));
      if (half % 2 == 1) {
        const uint32_t rank = __reduce_max_sync(~0u, RankOf(best));
        if (lane == 0) choice.ranks()[first + half / 2 * kStep] = rank;
        best = -INFINITY;
      }
      slot = slot + 1 < kSlots ? slot + 1 : 0;
      parity ^= slot == 0 ? 1u : 0u;
    }
  }
};

// A gather of codes, in pieces of 16 bytes, takes the memory as long as a gather of keys: what a
// partial scan leaves is scored exactly at once. A cluster of kCtas a choice.
// 1. The border's bin. 2. The list of what is kept, wherever in the history it stands: so all warps
//    have equal shares. 3. A warp a block, half blocks by bulk copies. 4. The first CTA chooses.
template <int kSteps, int kCtas>
__global__ void __cluster_dims__(kCtas, 1, 1) __launch_bounds__(kThreads, 2)
    ChooseKeptKernel(const KeptArgs args) {
  extern __shared__ uint4 shared[];
  KeptDesk& desk = *reinterpret_cast<KeptDesk*>(shared);
  const auto warp = static_cast<int32_t>(threadIdx.x / 32);
  const auto cta = static_cast<int32_t>(blockIdx.x % kCtas);
  if (threadIdx.x == 0) {
    desk.count = 0;
    for (int32_t i = 0; i < kWarps * kSlots; ++i) InitBarrier(&desk.filled[0][0] + i, 1);
    PublishBarriers();
  }
  SyncCluster<kCtas>();
  const Choice choice(args.job, blockIdx.x / kCtas);
  FollowStage();
  if (!choice.plan.partial) return;
  const Share<kCtas> share(choice, 0);
  FindKeptBin(choice, &desk);
  ListKept(choice, share, &desk);
  SyncCluster<kCtas>();
  const uint32_t* of_cluster = &desk.count;
  if constexpr (kCtas > 1) {
    of_cluster = cooperative_groups::this_cluster().map_shared_rank(of_cluster, 0);
  }
  const auto count = static_cast<int32_t>(*of_cluster);
  using Warp = KeptWarp<kSteps, kCtas>;
  auto* slots = reinterpret_cast<std::byte*>(&desk + 1) + warp * kSlots * Warp::kBytes;
  Warp{choice, slots, desk.filled[warp], warp * kCtas + cta, count}.Run();
  SyncCluster<kCtas>();
  if (cta != 0) return;
  Selector selector(&desk.desk.select, reinterpret_cast<uint64_t*>(&desk + 1), args.entry_room);
  const Work work{choice, selector, desk.desk};
  ChooseBest(work, selector.Gather(ListEntries{choice.ranks(), choice.kept(), count}));
  // A partial scan leaves no bounds, and no proof unless all was read.
  Finish(work, {count, count == choice.distant()});
}

template <int kSteps, int kCtas>
void Launch(const KeptArgs& args, int32_t choices, Context* context) {
  constexpr size_t kSlotBytes = size_t{kWarps} * kSlots * KeptWarp<kSteps, kCtas>::kBytes;
  const size_t shared = sizeof(KeptDesk) + std::max(kSlotBytes, args.entry_room * sizeof(uint64_t));
  context->queue->Launch(ChooseKeptKernel<kSteps, kCtas>, dim3(choices * kCtas), dim3(kThreads),
                         shared, args, Overlap::kPrologue);
}

}  // namespace

void ChooseAmongKept(const RetrievalJob& job, const RetrievalShape& shape, Context* context) {
  const KeptArgs args{job, std::min(shape.rank_room, kMostEntries)};
  const auto launch = [&](auto steps) {
    constexpr int kSteps = decltype(steps)::value;
    ForClusterSize(shape.choices, *context, [&](auto ctas) {
      Launch<kSteps, decltype(ctas)::value>(args, shape.choices, context);
    });
  };
  if (job.page.head_dim == 64) launch(std::integral_constant<int, 4>());
  if (job.page.head_dim == 128) launch(std::integral_constant<int, 8>());
}

}  // namespace eidetic::cuda
