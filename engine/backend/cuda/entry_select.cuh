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

// Passes over a few thousand entries are bound by their barriers, and by loads one after the
// other: as many threads as a CTA may have.
inline constexpr int32_t kSelectThreads = 1024;

// Sources of entries. ForEach calls visit(entry) for all of them, shared out over the CTA.

// The blocks whose entries are in [low, below); groups without one are passed over.
struct BoundEntries {
  const Choice& choice;
  uint64_t low, below;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    constexpr int32_t kWarps = kSelectThreads / 32;
    const int32_t groups = choice.groups(), count = choice.distant(), lane = threadIdx.x % 32;
    const uint32_t* ranks = choice.ranks();
    // A warp takes up to 32 neighbouring groups, fewer where there are too few for all warps.
    const int32_t taken = min(32, (groups + kWarps - 1) / kWarps);
    for (int32_t base = threadIdx.x / 32 * taken; base < groups; base += kWarps * taken) {
      const bool mine = lane < taken && base + lane < groups;
      const uint32_t best = mine ? choice.group_ranks()[base + lane] : 0;
      uint32_t wanted = __ballot_sync(~0u, mine && best >= RankIn(low));
      for (; wanted != 0; wanted &= wanted - 1) {
        const int32_t begin = (base + __ffs(wanted) - 1) * kGroupBlocks;
#pragma unroll
        for (int32_t i = begin + lane; i < begin + kGroupBlocks; i += 32) {
          if (i >= count) continue;
          const uint64_t entry = EntryOf(ranks[i], choice.plan.request.first + i);
          if (entry >= low && entry < below) visit(entry);
        }
      }
    }
  }
};

// The best rank of each group, with the group in the place of a block.
struct GroupEntries {
  const Choice& choice;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    for (int32_t i = threadIdx.x; i < choice.groups(); i += kSelectThreads) {
      visit(EntryOf(choice.group_ranks()[i], i));
    }
  }
};

// The first `count` candidates by their exact scores.
struct ScoreEntries {
  const Choice& choice;
  int32_t count;

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    for (int32_t i = threadIdx.x; i < count; i += kSelectThreads) {
      visit(EntryOf(choice.scores()[i], choice.candidates()[i]));
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

  template <typename Visit>
  __device__ void ForEach(Visit visit) const {
    if (!fits) return source.ForEach(visit);
    for (uint32_t i = threadIdx.x; i < count; i += kSelectThreads) visit(list[i]);
  }
};

// Selection by one CTA. Every thread calls every member, in the same order.
class Selector {
 public:
  struct Shared {
    uint32_t counts[3];
    uint32_t lowest, highest;  // ranks
    uint32_t next;             // place in a list
  };

  __device__ Selector(Shared* shared, uint64_t* list, int32_t room)
      : shared_(*shared), list_(list), room_(static_cast<uint32_t>(room)) {}

  template <typename Source>
  __device__ Gathered<Source> Gather(const Source& source) {
    Reset();
    source.ForEach([&](uint64_t entry) {
      const uint32_t at = Append();
      if (at < room_) list_[at] = entry;
    });
    __syncthreads();
    return {source, list_, shared_.next, shared_.next <= room_};
  }

  // The entry from which on there are exactly `wanted` (from 1 to all of them).
  // 1. The ranks' range. From `low` on there are `wanted` or more, from `high` on fewer.
  // 2. Halve it until a border fits. Entries differ, so one does at the latest when one is left;
  //    mostly one does after as many steps as the range has gaps like that at the border.
  template <typename Entries>
  __device__ uint64_t Border(const Entries& entries, uint32_t wanted) {
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
    uint64_t low = uint64_t{shared_.lowest} << 32, high = (uint64_t{shared_.highest} + 1) << 32;
    for (int turn = 0; high - low > 1; turn = (turn + 1) % 3) {
      const uint64_t middle = low + (high - low) / 2;
      const uint32_t count = CountFrom(entries, middle, turn);
      if (count == wanted) return middle;
      (count > wanted ? low : high) = middle;
    }
    return low;
  }

  // Before a pass that appends or looks for extremes.
  __device__ void Reset() {
    __syncthreads();
    if (threadIdx.x == 0) shared_ = {{0, 0, 0}, ~0u, 0, 0};
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
  // Three counters in turns: one is counted, one may still be read, one is cleared.
  template <typename Entries>
  __device__ uint32_t CountFrom(const Entries& entries, uint64_t border, int turn) {
    uint32_t count = 0;
    entries.ForEach([&](uint64_t entry) { count += entry >= border ? 1 : 0; });
    count = __reduce_add_sync(~0u, count);
    if (threadIdx.x % 32 == 0) atomicAdd(&shared_.counts[turn], count);
    if (threadIdx.x == 0) shared_.counts[(turn + 1) % 3] = 0;
    __syncthreads();
    return shared_.counts[turn];
  }

  Shared& shared_;
  uint64_t* list_;
  uint32_t room_;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_SELECT_CUH_
