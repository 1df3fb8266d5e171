// Staged segments of rows, read in kernels: which one a row belongs to.
//
// What: for anything with row_begin and row_count, ascending, none meeting another.
// Thread safety: pure. Ownership: none. Preconditions: segments stand in device memory; whole
//   warps call FindSegment, with one row.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_ROW_SEGMENTS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_ROW_SEGMENTS_CUH_

#include <cstdint>

namespace eidetic::cuda {

// The first segment that ends behind `row`, whether or not it has begun there; `count`: none.
// 32 segments at a time.
template <typename Segment>
__device__ inline int32_t FindSegment(const Segment* segments, int32_t count, int64_t row) {
  const int32_t lane = threadIdx.x % 32;
  for (int32_t base = 0; base < count; base += 32) {
    const int32_t i = base + lane;
    const bool behind = i < count && segments[i].row_begin + segments[i].row_count > row;
    const uint32_t found = __ballot_sync(~0u, behind);
    if (found != 0) return base + __ffs(static_cast<int32_t>(found)) - 1;
  }
  return count;
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_ROW_SEGMENTS_CUH_
