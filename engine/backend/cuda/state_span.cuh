// Staged StateSpans, read in kernels.
//
// What: where a span's states stand, and which span a tile of rows belongs to.
// Thread safety: pure. Ownership: none. Preconditions: spans stand in device memory; whole
//   warps call FindSpanTile.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_STATE_SPAN_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_STATE_SPAN_CUH_

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/backend/params.h"

namespace eidetic::cuda {

template <typename S = float>
__device__ inline const S* DeviceStateIn(const StateSpan& span, size_t offset) {
  return reinterpret_cast<const S*>(static_cast<const char*>(span.state_in) + offset);
}
template <typename S = float>
__device__ inline S* DeviceStateOut(const StateSpan& span, size_t offset) {
  return reinterpret_cast<S*>(static_cast<char*>(span.state_out) + offset);
}

// With which weights a span's rows are convolved; `own` null: all with the same.
__device__ inline ConvWeights DeviceWeights(const ConvWeights* own, const float* weight,
                                            const float* bias, int32_t span) {
  return own == nullptr ? ConvWeights{weight, bias} : own[span];
}

// Spans of at least `min_rows` rows are cut into tiles of `kTileRows` rows and the tiles counted
// through: for kTileRows 4, min_rows 2 and spans of 5, 1, 4 rows, tiles 0 and 1 are rows 0 and 4
// of span 0, tile 2 is row 0 of span 2.
struct SpanTile {
  int32_t span;
  int32_t first_row;  // within the span
};

template <int32_t kTileRows>
int64_t CountSpanTiles(std::span<const StateSpan> spans, int64_t min_rows) {
  int64_t tiles = 0;
  for (const StateSpan& span : spans) {
    if (span.row_count >= min_rows) tiles += (span.row_count + kTileRows - 1) / kTileRows;
  }
  return tiles;
}

// 32 spans at a time, so that a large batch costs a few steps. `tile` is below the count.
template <int32_t kTileRows>
__device__ SpanTile FindSpanTile(const StateSpan* spans, int32_t count, int64_t min_rows,
                                 int32_t tile) {
  const int32_t lane = threadIdx.x % 32;
  int32_t before = 0;
  for (int32_t base = 0; base < count; base += 32) {
    const int64_t rows = base + lane < count ? spans[base + lane].row_count : 0;
    const int32_t tiles =
        rows >= min_rows ? static_cast<int32_t>((rows + kTileRows - 1) / kTileRows) : 0;
    int32_t through = tiles;  // of lanes 0 to this one
#pragma unroll
    for (int32_t offset = 1; offset < 32; offset *= 2) {
      const int32_t lower = __shfl_up_sync(~0u, through, offset);
      if (lane >= offset) through += lower;
    }
    const uint32_t reached = __ballot_sync(~0u, before + through > tile);
    if (reached != 0) {
      const int32_t owner = __ffs(static_cast<int32_t>(reached)) - 1;
      const int32_t first = __shfl_sync(~0u, before + through - tiles, owner);
      return {base + owner, (tile - first) * kTileRows};
    }
    before += __shfl_sync(~0u, through, 31);
  }
  return {0, 0};
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_STATE_SPAN_CUH_
