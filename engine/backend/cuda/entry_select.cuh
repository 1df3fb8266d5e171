// Selection of the best entries of one choice by one CTA.
//
// What: where entries come from (bounds, groups' maxima, exact scores), and the border from
//   which on there are exactly as many as wanted. Counting gives the same result however
//   threads share the work.
// Thread safety: device code of a whole CTA of kSelectThreads; every thread calls every member
//   of Selector but Append and Keep..., in the same order.
// Ownership: borrows shared memory. Preconditions: all entries differ.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_SELECT_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_SELECT_CUH_

#include <cooperative_groups.h>

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

inline constexpr int32_t kSelectThreads = 512;

// Groups that are looked into together: as many as a pass needs to keep its loads coming.
struct GroupBatch {
  static constexpr int32_t kGroups = 1024;
  uint32_t count;
  int32_t groups[kGroups];
};

// Sources of entries. ForEach calls visit(entry) for all of them, shared out over the CTA.

// The blocks whose entries by `ranks` are from `low` on; groups without one are passed over.
struct RankEntries {
  const Choice& choice;
  const uint32_t* ranks;
  const uint32_t* group_ranks;
  uint64_t low;
  GroupBatch* batch;  // shared

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    const int32_t groups = choice.groups();
    for (int32_t base = 0; base < groups; base += GroupBatch::kGroups) {
      if (threadIdx.x == 0) batch->count = 0;
      __syncthreads();
      const int32_t end = min(base + GroupBatch::kGroups, groups);
      for (int32_t i = base + threadIdx.x; i < end; i += kSelectThreads) {
        if (group_ranks[i] >= RankIn(low)) batch->groups[atomicAdd(&batch->count, 1)] = i;
      }
      __syncthreads();
      VisitBatch(visit);
      __syncthreads();
    }
  }

 private:
  // A thread's loads are under way together.
  template <typename Visit>
  __device__ void VisitBatch(Visit visit) const {
    constexpr int32_t kLoads = 8;
    const int32_t count = static_cast<int32_t>(batch->count) * kGroupBlocks;
    for (int32_t base = threadIdx.x; base < count; base += kLoads * kSelectThreads) {
      uint32_t found[kLoads];
      int32_t at[kLoads];
#pragma unroll
      for (int32_t k = 0; k < kLoads; ++k) {
        const int32_t i = base + k * kSelectThreads;
        at[k] = -1;
        if (i >= count) continue;
        const int32_t group = batch->groups[i / kGroupBlocks];
        const int32_t block = choice.GroupBegin(group) + i % kGroupBlocks;
        if (block < choice.GroupEnd(group)) at[k] = block, found[k] = ranks[block];
      }
#pragma unroll
      for (int32_t k = 0; k < kLoads; ++k) {
        if (at[k] < 0) continue;
        const uint64_t entry = EntryOf(found[k], choice.plan.request.first + at[k]);
        if (entry >= low) visit(entry);
      }
    }
  }
};

// What is not on the first list, and whose bound's entry is from `low` on.
struct RivalEntries {
  const Choice& choice;
  uint64_t low, listed_from;
  GroupBatch* batch;  // shared

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    const uint32_t* order = choice.order();
    const int32_t first = choice.plan.request.first;
    RankEntries{choice, choice.ranks(), choice.group_ranks(), low, batch}.ForEach(
        [&](uint64_t entry) {
          const int32_t block = BlockOf(entry);
          if (EntryOf(order[block - first], block) < listed_from) visit(entry);
        });
  }
};

// Numbered ranks: the best of each group, or scores of candidates.
struct ListEntries {
  const uint32_t* ranks;
  const int32_t* blocks;  // null: their places in the list
  int32_t count;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
#pragma unroll 4
    for (int32_t i = threadIdx.x; i < count; i += kSelectThreads) {
      visit(EntryOf(ranks[i], blocks == nullptr ? i : blocks[i]));
    }
  }
};

// A source, held in shared memory where it fits.
template <typename Source>
struct Gathered {
  Source source;
  const uint64_t* list;
  uint32_t count;
  bool fits;
  uint32_t lowest, highest;  // ranks

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    if (!fits) return source.ForEach(visit);
    for (uint32_t i = threadIdx.x; i < count; i += kSelectThreads) visit(list[i]);
  }
};

// Selection by one CTA. Every thread calls every member, in the same order.
class Selector {
 public:
  static constexpr int32_t kBins = 2 * kSelectThreads;
  struct Shared {
    uint32_t bins[kBins];
    uint32_t warp_sums[kSelectThreads / 32];
    uint32_t bin, above, inside;  // the border's bin
    uint32_t lowest, highest;     // ranks
    uint32_t next;                // place in a list
  };

  __device__ Selector(Shared* shared, uint64_t* list, int32_t room)
      : shared_(*shared), list_(list), room_(static_cast<uint32_t>(room)) {
    for (int32_t i = threadIdx.x; i < kBins; i += kSelectThreads) shared_.bins[i] = 0;
  }

  template <typename Source>
  __device__ Gathered<Source> Gather(const Source& source) {
    Reset();
    uint32_t lowest = ~0u, highest = 0;
    source.ForEach([&](uint64_t entry) {
      const uint32_t at = Append();
      if (at < room_) list_[at] = entry;
      lowest = min(lowest, RankIn(entry));
      highest = max(highest, RankIn(entry));
    });
    lowest = __reduce_min_sync(~0u, lowest);
    highest = __reduce_max_sync(~0u, highest);
    if (threadIdx.x % 32 == 0) {
      KeepLowest(lowest);
      KeepHighest(highest);
    }
    __syncthreads();
    return {source, list_, shared_.next, shared_.next <= room_, shared_.lowest, shared_.highest};
  }

  // The entry from which on there are exactly `wanted` (from 1 to all of them).
  // 1. The ranks' range in bins of a power of two, counted.
  // 2. The bin that the border is in; when its beginning is no border, its own bins. Entries
  //    differ, so at the latest a bin of one number is one.
  template <typename Source>
  __device__ uint64_t Border(const Gathered<Source>& entries, uint32_t wanted) {
    uint64_t low = uint64_t{entries.lowest} << 32;
    uint64_t last = uint64_t{entries.highest} << 32 | ~0u;  // inclusive
    while (true) {
      const int32_t bits = 64 - __clzll(static_cast<long long>(last - low));
      const int32_t shift = max(bits - (31 - __clz(kBins)), 0);
      entries.ForEach([&](uint64_t entry) {
        if (entry >= low && entry <= last) atomicAdd(&shared_.bins[(entry - low) >> shift], 1);
      });
      __syncthreads();
      FindBin(wanted);
      low += uint64_t{shared_.bin} << shift;
      if (shared_.above + shared_.inside == wanted || shift == 0) return low;
      wanted -= shared_.above;
      last = min(last, low + (uint64_t{1} << shift) - 1);
    }
  }

  // Before a pass that appends or looks for extremes.
  __device__ void Reset() {
    __syncthreads();
    if (threadIdx.x == 0) shared_.next = shared_.highest = 0, shared_.lowest = ~0u;
    __syncthreads();
  }
  // The next place, of one atomic operation for all lanes that ask together.
  __device__ uint32_t Append() {
    const cooperative_groups::coalesced_group together = cooperative_groups::coalesced_threads();
    uint32_t first = 0;
    if (together.thread_rank() == 0) first = atomicAdd(&shared_.next, together.size());
    return together.shfl(first, 0) + together.thread_rank();
  }
  __device__ void KeepLowest(uint32_t rank) { atomicMin(&shared_.lowest, rank); }
  __device__ void KeepHighest(uint32_t rank) { atomicMax(&shared_.highest, rank); }
  __device__ uint32_t lowest() const { return shared_.lowest; }
  __device__ uint32_t highest() const { return shared_.highest; }

 private:
  // The bin in which the count from the top reaches `wanted`. Clears the bins.
  __device__ void FindBin(uint32_t wanted) {
    const int32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int32_t upper = kBins - 1 - 2 * threadIdx.x;
    const uint32_t counts[2] = {shared_.bins[upper], shared_.bins[upper - 1]};
    shared_.bins[upper] = shared_.bins[upper - 1] = 0;
    uint32_t sum = counts[0] + counts[1];
#pragma unroll
    for (int32_t i = 1; i < 32; i *= 2) {
      const uint32_t other = __shfl_up_sync(~0u, sum, i);
      if (lane >= i) sum += other;
    }
    if (lane == 31) shared_.warp_sums[warp] = sum;
    __syncthreads();
    uint32_t above = sum - counts[0] - counts[1];
    for (int32_t i = 0; i < warp; ++i) above += shared_.warp_sums[i];
#pragma unroll
    for (int32_t i = 0; i < 2; ++i) {
      if (above < wanted && wanted <= above + counts[i]) {
        shared_.bin = upper - i, shared_.above = above, shared_.inside = counts[i];
      }
      above += counts[i];
    }
    __syncthreads();
  }

  Shared& shared_;
  uint64_t* list_;
  uint32_t room_;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_SELECT_CUH_
