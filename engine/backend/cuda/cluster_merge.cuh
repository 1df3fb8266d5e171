// Merges one value of every thread of a cluster into one value that all of them get.
//
// What: lanes, then warps, then blocks, always in the same order: the result depends on the
//   values alone. One cluster barrier a merge.
// Thread safety: every thread of the cluster calls it, in the same order of calls.
// Ownership: borrows the block's slots.
// Preconditions: all blocks of the cluster have started (a cluster barrier has passed); T is
//   trivially copyable and has Merge(const T&), commutative.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CLUSTER_MERGE_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_CLUSTER_MERGE_CUH_

#include <cooperative_groups.h>

#include <cstdint>
#include <cstring>

namespace eidetic::cuda {

// 8 is the largest cluster that every device of this generation takes.
inline constexpr int kClusterBlocks = 8;
inline constexpr int kClusterThreads = 512;  // of one block
inline constexpr int kClusterWarps = kClusterThreads / 32;

template <typename T>
__device__ inline T ShuffleXor(const T& value, int lanes) {
  static_assert(sizeof(T) % sizeof(uint32_t) == 0);
  uint32_t words[sizeof(T) / sizeof(uint32_t)];
  memcpy(words, &value, sizeof(T));
#pragma unroll
  for (uint32_t& word : words) word = __shfl_xor_sync(~0u, word, lanes);
  T other;
  memcpy(&other, words, sizeof(T));
  return other;
}

// Over groups of `kLanes` neighbouring lanes, a power of two.
template <int kLanes, typename T>
__device__ inline T MergeLanes(T value) {
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) value.Merge(ShuffleXor(value, lanes));
  return value;
}

// A block's shared memory for its merges.
struct MergeSlots {
  static constexpr int kBytes = 40;  // of the largest value merged
  alignas(8) unsigned char warps[kClusterWarps][kBytes];
  alignas(8) unsigned char blocks[2][kClusterBlocks][kBytes];
};

class ClusterMerge {
 public:
  __device__ explicit ClusterMerge(MergeSlots* slots) : slots_(slots) {}

  template <typename T>
  __device__ T operator()(T value) {
    static_assert(sizeof(T) <= MergeSlots::kBytes && alignof(T) <= 8);
    const cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    T* warps = reinterpret_cast<T*>(slots_->warps);
    T* blocks = reinterpret_cast<T*>(slots_->blocks[turn_]);
    // A block may still read the last merge's slots when another is here already, but not
    // those of the one before: two turns are enough.
    turn_ ^= 1;
    value = MergeLanes<32>(value);
    if (lane == 0) warps[warp] = value;
    __syncthreads();
    if (warp == 0) {
      value = MergeLanes<kClusterWarps>(warps[lane % kClusterWarps]);
      if (lane < kClusterBlocks) {
        *cluster.map_shared_rank(&blocks[cluster.block_rank()], lane) = value;
      }
    }
    cluster.sync();
    return MergeLanes<kClusterBlocks>(blocks[lane % kClusterBlocks]);
  }

 private:
  MergeSlots* slots_;
  int turn_ = 0;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CLUSTER_MERGE_CUH_
