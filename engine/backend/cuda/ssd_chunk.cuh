// One chunk of the chunked scan, on the matrix units.
//
// What: the four lines that head ssd_scan.cu, with y transposed: H is then a product's A, from the
//   registers where it stands. Fragments are named in scan_ptx.cuh.
// Thread safety: a warpgroup calls each function, on its own head; `part` is a warp's number in it.
// Ownership: none. Preconditions: the chunk stands in shared memory.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_work.cuh"

namespace eidetic::cuda {

// G = C B^T.
template <uint32_t kDState>
__device__ inline void BeginG(const SsdPanel* c, const SsdPanel* b, float (&g)[32]) {
  BeginProducts();
#pragma unroll
  for (uint32_t k = 0; k < kDState / 16; ++k) Product(g, Columns(c, k), Columns(b, k), k > 0);
  EndProducts();
}

// Rows 16 * part to 16 * part + 15 of P, from those of G; right of the diagonal are zeros already.
__device__ inline void StoreP(const DecayTable& decays, uint32_t part, const float (&g)[32],
                              const SsdPanel& p) {
  const uint32_t lane = LaneAnew();
  const uint32_t row = 16 * part + lane / 4;
  const float own[2] = {decays.sum[row], decays.sum[row + 8]};
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) {
    if (k > part) break;
    uint32_t pairs[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {  // columns 0 and 8 of the 16; rows 0 and 8
      const uint32_t column = i / 2 * 8 + lane % 4 * 2, below = lane / 4 + i % 2 * 8;
      const float2 source = *reinterpret_cast<const float2*>(decays.source + 16 * k + column);
      float low = g[8 * k + 2 * i] * ApproximateExp2(own[i % 2] - source.x);
      float high = g[8 * k + 2 * i + 1] * ApproximateExp2(own[i % 2] - source.y);
      if (k == part && column > below) low = 0.0f;
      if (k == part && column + 1 > below) high = 0.0f;
      pairs[i] = PackBf16(low, high);
    }
    StoreMatrices(p.Address(16 * part + lane % 16, 2 * k + lane / 16), pairs);
  }
}
// Once: right of the diagonal.
__device__ inline void ClearP(uint32_t part, const SsdPanel& p) {
  const uint32_t lane = LaneAnew();
  for (uint32_t k = part + 1; k < kChunk / 16; ++k) {
    StoreMatrices(p.Address(16 * part + lane % 16, 2 * k + lane / 16), {0, 0, 0, 0});
  }
}

// A warp's 16 columns of x or y, a chunk's rows of which stand in one panel.
__device__ inline uint32_t Own16(const SsdPanel& panel, uint32_t part, uint32_t k) {
  const uint32_t lane = LaneAnew();
  return panel.Address(16 * k + lane / 16 * 8 + lane % 8, 2 * part + lane / 8 % 2);
}

// exp(s_i) C H^T + d X, transposed; x: A fragments of X^T.
__device__ inline void ScaleY(const DecayTable& decays, float d, const uint32_t (&x)[4][4],
                              float (&y)[32]) {
  const uint32_t lane = LaneAnew();
#pragma unroll
  for (uint32_t i = 0; i < 16; ++i) {
    const float2 from_begin =
        *reinterpret_cast<const float2*>(decays.from_begin + i / 2 * 8 + lane % 4 * 2);
    const float2 own = UnpackBf16(x[i / 4][i % 4]);
    y[2 * i] = fmaf(y[2 * i], from_begin.x, d * own.x);
    y[2 * i + 1] = fmaf(y[2 * i + 1], from_begin.y, d * own.y);
  }
}

// H [64, d_state] of a head: h[n / 64] has columns 64 (n / 64) and on, as a product's D.
template <uint32_t kDState>
struct SsdState {
  float h[kDState / 64][32];

  // Of column pair i (tile i / 2, row half i % 2).
  __device__ static int64_t At(uint32_t i, uint32_t first_row) {
    const uint32_t lane = LaneAnew();
    return int64_t{first_row + lane / 4 + 8 * (i % 2)} * kDState + i / 2 * 8 + lane % 4 * 2;
  }
  __device__ void Load(const float* from, uint32_t first_row) {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      const float2 pair = *reinterpret_cast<const float2*>(from + At(i, first_row));
      h[i / 16][i % 16 * 2] = pair.x;
      h[i / 16][i % 16 * 2 + 1] = pair.y;
    }
  }
  __device__ void Store(float* to, uint32_t first_row) const {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      *reinterpret_cast<float2*>(to + At(i, first_row)) = {h[i / 16][i % 16 * 2],
                                                           h[i / 16][i % 16 * 2 + 1]};
    }
  }

  // Y^T = H C^T: D's fragments are A's.
  __device__ void BeginY(const SsdPanel* c, float (&y)[32]) const {
    uint32_t a[kDState / 16][4];
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      a[i / 4][i % 4] = PackBf16(h[i / 16][i % 16 * 2], h[i / 16][i % 16 * 2 + 1]);
    }
    BeginProducts();
#pragma unroll
    for (uint32_t k = 0; k < kDState / 16; ++k) Product<false>(y, a[k], Columns(c, k), k > 0);
    EndProducts();
  }

  // H = exp(s_end) H + (X dt' exp(s_end - s))^T B.
  __device__ void BeginAdvance(const SsdPanel* b, const DecayTable& decays,
                               const uint32_t (&x)[4][4]) {
    const uint32_t lane = LaneAnew();
    uint32_t a[kChunk / 16][4];
#pragma unroll
    for (uint32_t i = 0; i < kChunk / 4; ++i) {
      a[i / 4][i % 4] = Scaled(x[i / 4][i % 4], *reinterpret_cast<const float2*>(
                                                    decays.to_end + i / 2 * 8 + lane % 4 * 2));
    }
    const float whole = decays.whole;
#pragma unroll
    for (uint32_t i = 0; i < kDState / 2; ++i) h[i / 32][i % 32] *= whole;
    BeginProducts();
#pragma unroll
    for (uint32_t k = 0; k < kChunk / 16; ++k) {
#pragma unroll
      for (uint32_t n = 0; n < kDState / 64; ++n) Product<true>(h[n], a[k], Rows(b[n], k), true);
    }
    EndProducts();
  }
  __device__ void EndAdvance() {
#pragma unroll
    for (uint32_t n = 0; n < kDState / 64; ++n) WaitProducts<0>(h[n]);
  }
};

// y takes x's place; nobody else reads the warp's columns.
__device__ inline void StoreY(const SsdPanel& panel, uint32_t part, const float (&y)[32]) {
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) {
    StoreTransposed(Own16(panel, part, k),
                    {PackBf16(y[8 * k], y[8 * k + 1]), PackBf16(y[8 * k + 2], y[8 * k + 3]),
                     PackBf16(y[8 * k + 4], y[8 * k + 5]), PackBf16(y[8 * k + 6], y[8 * k + 7])});
  }
}

// One warp: its 16 columns of `rows` rows of y, 32 bytes a row; `out` is the first of them.
__device__ inline void WriteY(const SsdPanel& panel, uint32_t part, uint32_t rows, int64_t stride,
                              Bf16Number* out) {
  const uint32_t lane = LaneAnew();
  const uint32_t piece = lane % 2;
#pragma unroll
  for (uint32_t base = 0; base < kChunk; base += 16) {
    const uint32_t row = base + lane / 2;
    if (row >= rows) break;
    *reinterpret_cast<uint4*>(out + row * stride + piece * 8) =
        panel.pieces[SsdPanel::At(row, 2 * part + piece)];
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
