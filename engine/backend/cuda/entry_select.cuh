// Selection of the best entries of one choice by one CTA.
//
// What: where entries come from (ranks of blocks or groups, exact scores), and the border from
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

inline constexpr int32_t kSelectThreads = 256;

// Sources of entries. ForEach calls visit(entry) for all of them, shared out over the CTA.

// The blocks whose entries by `ranks` are at least `low`; groups without one are passed over. With
// listed_from, those alone whose entry by the choice's order is below it.
struct RankEntries {
  const Choice& choice;
  const uint32_t* ranks;
  const uint32_t* group_ranks;
  uint64_t low;
  uint64_t listed_from = 0;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    constexpr int32_t kWarps = kSelectThreads / 32;
    const int32_t groups = choice.groups(), lane = threadIdx.x % 32;
    // A warp takes up to 32 neighbouring groups, fewer where there are too few for all warps.
    const int32_t taken = min(32, (groups + kWarps - 1) / kWarps);
    for (int32_t base = threadIdx.x / 32 * taken; base < groups; base += kWarps * taken) {
      const bool mine = lane < taken && base + lane < groups;
      const uint32_t best = mine ? group_ranks[base + lane] : 0;
      uint32_t wanted = __ballot_sync(~0u, mine && best >= RankIn(low));
      while (wanted != 0) VisitSome(base, &wanted, visit);
    }
  }

 private:
  static constexpr int kLoads = 4;

  __device__ static int32_t TakeBit(uint32_t* bits) {
    const int32_t bit = __ffs(static_cast<int>(*bits)) - 1;
    *bits &= *bits - 1;
    return bit;
  }
  // Up to 2 kLoads groups, whose loads are under way together: 16 lanes a group, four blocks each.
  template <typename Visit>
  __device__ void VisitSome(int32_t base, uint32_t* wanted, Visit visit) const {
    const int32_t lane = threadIdx.x % 32;
    int32_t at[kLoads];
    uint4 found[kLoads] = {}, listed[kLoads] = {};
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int32_t first = TakeBit(wanted), second = TakeBit(wanted);
      const int32_t group = lane < 16 ? first : second;
      at[k] = group < 0 ? -1 : (base + group) * kGroupBlocks + lane % 16 * 4;
      if (at[k] < 0) continue;
      found[k] = *reinterpret_cast<const uint4*>(ranks + at[k]);
      if (listed_from != 0) listed[k] = *reinterpret_cast<const uint4*>(choice.order() + at[k]);
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      if (at[k] < 0) continue;
      const uint32_t of[4] = {found[k].x, found[k].y, found[k].z, found[k].w};
      const uint32_t by[4] = {listed[k].x, listed[k].y, listed[k].z, listed[k].w};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int32_t block = choice.plan.request.first + at[k] + j;
        const uint64_t entry = EntryOf(of[j], block);
        if (at[k] + j >= choice.distant() || entry < low) continue;
        if (listed_from == 0 || EntryOf(by[j], block) < listed_from) visit(entry);
      }
    }
  }
};

// Numbered ranks: the best of each group, or scores of candidates.
struct ListEntries {
  const uint32_t* ranks;
  const int32_t* blocks;  // null: their places in the list
  int32_t count;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    for (int32_t i = threadIdx.x; i < count; i += kSelectThreads) {
      visit(EntryOf(ranks[i], blocks == nullptr ? i : blocks[i]));
    }
  }
};

// Entries in shared memory.
struct HeldEntries {
  const uint64_t* list;
  int32_t count;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    for (int32_t i = threadIdx.x; i < count; i += kSelectThreads) visit(list[i]);
  }
};

// A source, held in shared memory where it fits.
template <typename Source>
struct Gathered {
  Source source;
  HeldEntries held;  // its count is the source's, even where that does not fit
  bool fits;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    fits ? held.ForEach(visit) : source.ForEach(visit);
  }
};

class Selector {
 public:
  static constexpr int32_t kBins = 4 * kSelectThreads;
  struct Shared {
    __align__(16) uint32_t bins[kBins];  // zero between members
    uint32_t warp_sums[kSelectThreads / 32];
    uint32_t bin, above, inside;  // the border's bin
    uint32_t lowest, highest;     // ranks
    uint32_t next;                // place in a list
    uint64_t border;
  };

  __device__ Selector(Shared* shared, uint64_t* list, int32_t room)
      : shared_(*shared), list_(list), room_(static_cast<uint32_t>(room)) {
    for (int32_t i = threadIdx.x; i < kBins; i += kSelectThreads) shared_.bins[i] = 0;
  }

  template <typename Source>
  __device__ Gathered<Source> Gather(const Source& source) {
    Reset();
    source.ForEach([&](uint64_t entry) {
      const uint32_t at = Append();
      if (at < room_) list_[at] = entry;
    });
    __syncthreads();
    return {source, {list_, static_cast<int32_t>(shared_.next)}, shared_.next <= room_};
  }

  // The entry from which on there are exactly `wanted`, or all if there are no more.
  template <typename Source>
  __device__ uint64_t Border(const Gathered<Source>& entries, int32_t wanted) {
    if (wanted >= entries.held.count) return 0;
    if (entries.fits) return Border(entries.held, wanted);
    return BorderOfMany(entries, wanted);
  }
  __device__ uint64_t Border(const HeldEntries& entries, int32_t wanted) {
    if (wanted >= entries.count) return 0;
    if (entries.count > kSelectThreads) return BorderOfMany(entries, wanted);
    // Compares all with each other.
    int32_t better = 0;
    const uint64_t entry = static_cast<int32_t>(threadIdx.x) < entries.count
                               ? entries.list[threadIdx.x]
                               : ~uint64_t{0};
    for (int32_t i = 0; i < entries.count; ++i) better += entries.list[i] > entry ? 1 : 0;
    __syncthreads();
    if (static_cast<int32_t>(threadIdx.x) < entries.count && better == wanted - 1) {
      shared_.border = entry;
    }
    __syncthreads();
    return shared_.border;
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
  // 1. The ranks' range in bins of a power of two, counted.
  // 2. The bin that the border is in; when its beginning is no border, its own bins. Entries
  //    differ, so at the latest a bin of one number is one.
  template <typename Entries>
  __device__ uint64_t BorderOfMany(const Entries& entries, uint32_t wanted) {
    Reset();
    uint32_t lowest = ~0u, highest = 0;
    entries.ForEach([&](uint64_t entry) {
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
    uint64_t low = uint64_t{shared_.lowest} << 32, last = uint64_t{shared_.highest} << 32 | ~0u;
    while (true) {
      const int32_t bits = 64 - __clzll(static_cast<long long>(last - low));
      const int32_t shift = max(bits - (31 - __clz(kBins)), 0);
      entries.ForEach([&](uint64_t entry) {
        if (entry >= low && entry <= last) atomicAdd(&shared_.bins[(entry - low) >> shift], 1u);
      });
      __syncthreads();
      FindBin(wanted);
      low += uint64_t{shared_.bin} << shift;
      if (shared_.above + shared_.inside == wanted || shift == 0) return low;
      wanted -= shared_.above;
      last = min(last, low + (uint64_t{1} << shift) - 1);
    }
  }

  // The bin in which the count from the top reaches `wanted`. Clears the bins.
  __device__ void FindBin(uint32_t wanted) {
    const int32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int32_t lower = kBins - 4 * (static_cast<int32_t>(threadIdx.x) + 1);
    auto* mine = reinterpret_cast<uint4*>(shared_.bins + lower);
    const uint32_t counts[4] = {mine->w, mine->z, mine->y, mine->x};  // from the top
    *mine = make_uint4(0, 0, 0, 0);
    const uint32_t own = counts[0] + counts[1] + counts[2] + counts[3];
    uint32_t sum = own;
#pragma unroll
    for (int32_t i = 1; i < 32; i *= 2) {
      const uint32_t other = __shfl_up_sync(~0u, sum, i);
      if (lane >= i) sum += other;
    }
    if (lane == 31) shared_.warp_sums[warp] = sum;
    __syncthreads();
    uint32_t above = sum - own;
    for (int32_t i = 0; i < warp; ++i) above += shared_.warp_sums[i];
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      if (above < wanted && wanted <= above + counts[i]) {
        shared_.bin = lower + 3 - i, shared_.above = above, shared_.inside = counts[i];
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
