// One chunk of the chunked scan, on the matrix units.
//
// What: the four lines that head ssd_scan.cu. Fragments are named in scan_ptx.cuh.
// Thread safety: each function says which warps call it. Ownership: none.
// Preconditions: the chunk stands in shared memory.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_work.cuh"

namespace eidetic::cuda {

// Whole block. P of both heads. A warp makes rows 16m to 16m + 15 of G, of every second tile of 8
// columns, up to the diagonal: tiles 0 to 2m + 1. Warps w and w + 4 share a quarter of the
// multiprocessor, so one has a short row tile and one a long one: m is 0, 0, 1, 1, 3, 3, 2, 2.
template <uint32_t kDState>
__device__ inline void MakeP(SsdShared<kDState>* shared, uint32_t stage, uint32_t heads) {
  const uint32_t warp = threadIdx.x / 32, lane = LaneAnew();
  const uint32_t m = warp < 4 ? warp / 2 : 5 - warp / 2;
  const uint32_t parity = warp % 2;
  const SsdTile<kDState / 8> b_tile(shared->b[stage]), c_tile(shared->c[stage]);
  float g[4][4] = {};
#pragma unroll
  for (uint32_t n = 0; n < kDState / 8; n += 4) {  // pieces: 32 columns of B and C
    uint32_t c[2][4];
    LoadMatrices(c[0], c_tile.Address(16 * m + lane % 16, n + lane / 16));
    LoadMatrices(c[1], c_tile.Address(16 * m + lane % 16, n + 2 + lane / 16));
#pragma unroll
    for (uint32_t k = 0; k < 4; ++k) {
      if (k > m) break;
      uint32_t b[4];
      LoadMatrices(b, b_tile.Address(8 * (2 * k + parity) + lane % 8, n + lane / 8));
      MultiplyAdd(g[k], c[0], b[0], b[1]);
      MultiplyAdd(g[k], c[1], b[2], b[3]);
    }
  }
  for (uint32_t head = 0; head < heads; ++head) {
    const DecayTable& decays = shared->decays[stage][head];
    auto* p = reinterpret_cast<uint32_t*>(shared->p[head]);
#pragma unroll
    for (uint32_t k = 0; k < 4; ++k) {
      if (k > m) break;
      const uint32_t j = 8 * (2 * k + parity) + lane % 4 * 2;
      const float2 sum = *reinterpret_cast<const float2*>(decays.sum + j);
      const float2 dt = *reinterpret_cast<const float2*>(decays.dt + j);
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t i = 16 * m + lane / 4 + 8 * half;
        const float own = decays.sum[i];
        const float low = j <= i ? ApproximateExp2(own - sum.x) * dt.x : 0.0f;
        const float high = j + 1 <= i ? ApproximateExp2(own - sum.y) * dt.y : 0.0f;
        p[SsdTile<kChunk / 8>::At(i, 2 * k + parity) * 4 + lane % 4] = PackBf16(
            j <= i ? g[k][2 * half] * low : 0.0f, j + 1 <= i ? g[k][2 * half + 1] * high : 0.0f);
      }
    }
  }
}

// A warp's 16 rows of its head's H, as C fragments: h[n] is columns 8n to 8n + 7.
template <uint32_t kDState>
struct SsdState {
  float h[kDState / 8][4];
  uint32_t head, part;  // of the block's heads; of the head's 4 x 16 rows

  __device__ static int64_t At(uint32_t n, uint32_t half, uint32_t first_row) {
    const uint32_t lane = LaneAnew();
    return int64_t{first_row + lane / 4 + 8 * half} * kDState + 8 * n + lane % 4 * 2;
  }
  __device__ void Load(const float* from, uint32_t first_row) {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      const float2 pair = *reinterpret_cast<const float2*>(from + At(i / 2, i % 2, first_row));
      h[i / 2][i % 2 * 2] = pair.x;
      h[i / 2][i % 2 * 2 + 1] = pair.y;
    }
  }
  __device__ void Store(float* to, uint32_t first_row) const {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      *reinterpret_cast<float2*>(to + At(i / 2, i % 2, first_row)) = {h[i / 2][i % 2 * 2],
                                                                      h[i / 2][i % 2 * 2 + 1]};
    }
  }

  // C H^T for rows 16m to 16m + 15, the warp's 16 columns. H^T's B fragments are H's C fragments.
  __device__ void FromState(const SsdTile<kDState / 8>& c_tile, uint32_t m,
                            float (&y)[2][4]) const {
    const uint32_t lane = LaneAnew();
#pragma unroll
    for (uint32_t k = 0; k < kDState / 16; ++k) {
      const uint32_t low[2] = {PackBf16(h[2 * k][0], h[2 * k][1]),
                               PackBf16(h[2 * k + 1][0], h[2 * k + 1][1])};
      const uint32_t high[2] = {PackBf16(h[2 * k][2], h[2 * k][3]),
                                PackBf16(h[2 * k + 1][2], h[2 * k + 1][3])};
      uint32_t c[4];
      LoadMatrices(c, c_tile.Address(16 * m + lane % 16, 2 * k + lane / 16));
      MultiplyAdd(y[0], c, low[0], low[1]);
      MultiplyAdd(y[1], c, high[0], high[1]);
    }
  }

  // H = exp(s_end) H + (X dt' exp(s_end - s))^T B. X's B fragments are X^T's A fragments with the
  // middle two registers swapped.
  __device__ void Advance(const SsdTile<kDState / 8>& b_tile, const DecayTable& decays,
                          const uint32_t (&x)[4][4]) {
    const uint32_t lane = LaneAnew();
    const float whole = decays.whole;
#pragma unroll
    for (uint32_t i = 0; i < kDState / 2; ++i) h[i / 4][i % 4] *= whole;
#pragma unroll
    for (uint32_t k = 0; k < kChunk / 16; ++k) {
      const float* weights = decays.to_end + 16 * k + lane % 4 * 2;
      const float2 low = *reinterpret_cast<const float2*>(weights);
      const float2 high = *reinterpret_cast<const float2*>(weights + 8);
      const uint32_t a[4] = {Scaled(x[k][0], low), Scaled(x[k][2], low), Scaled(x[k][1], high),
                             Scaled(x[k][3], high)};
#pragma unroll
      for (uint32_t n = 0; n < kDState / 16; ++n) {
        uint32_t b[4];
        LoadTransposed(b, b_tile.Address(16 * k + lane % 16, 2 * n + lane / 16));
        MultiplyAdd(h[2 * n], a, b[0], b[1]);
        MultiplyAdd(h[2 * n + 1], a, b[2], b[3]);
      }
    }
  }
};

// Adds P X to rows 16m to 16m + 15 of y, up to the diagonal.
__device__ inline void AddFromChunk(const SsdTile<kChunk / 8>& p_tile, uint32_t m,
                                    const uint32_t (&x)[4][4], float (&y)[2][4]) {
  const uint32_t lane = LaneAnew();
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) {
    if (k > m) break;
    uint32_t p[4];
    LoadMatrices(p, p_tile.Address(16 * m + lane % 16, 2 * k + lane / 16));
    MultiplyAdd(y[0], p, x[k][0], x[k][1]);
    MultiplyAdd(y[1], p, x[k][2], x[k][3]);
  }
}

// y + d x for rows 16m to 16m + 15 takes x's place; nobody else reads the warp's columns.
__device__ inline void StoreY(uint4* x_tile, uint32_t m, uint32_t part, float d,
                              const float (&y)[2][4]) {
  const uint32_t lane = LaneAnew();
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t n = i / 2, half = i % 2;
    const uint32_t row = 16 * m + lane / 4 + 8 * half;
    uint32_t* pair = reinterpret_cast<uint32_t*>(x_tile) +
                     SsdTile<kSsdHeadPieces>::At(row, 2 * part + n) * 4 + lane % 4;
    const float2 x = UnpackBf16(*pair);
    *pair = PackBf16(fmaf(d, x.x, y[n][2 * half]), fmaf(d, x.y, y[n][2 * half + 1]));
  }
}

// One warp: its 16 columns of one chunk's y, and its rows of H after the chunk.
template <uint32_t kDState>
__device__ inline void RunChunk(SsdShared<kDState>* shared, uint32_t stage,
                                SsdState<kDState>* state) {
  const uint32_t lane = LaneAnew();
  uint4* x_tile = shared->x[state->head];
  const DecayTable& decays = shared->decays[stage][state->head];
  uint32_t x[kChunk / 16][4];  // B fragments of X: x[k][0], x[k][1] of columns 0-7, then 8-15
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) {
    LoadTransposed(x[k], SsdTile<kSsdHeadPieces>(x_tile).Address(16 * k + lane % 16,
                                                                 2 * state->part + lane / 16));
  }
  __syncwarp();
#pragma unroll 1  // two row tiles at once would not fit the registers
  for (uint32_t m = 0; m < kChunk / 16; ++m) {
    float y[2][4] = {};
    state->FromState(SsdTile<kDState / 8>(shared->c[stage]), m, y);
    const float* from_begin = decays.from_begin + 16 * m + lane / 4;
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) y[i / 4][i % 4] *= from_begin[i % 4 / 2 * 8];
    AddFromChunk(SsdTile<kChunk / 8>(shared->p[state->head]), m, x, y);
    StoreY(x_tile, m, state->part, shared->work.d[state->head], y);
  }
  __syncwarp();
  state->Advance(SsdTile<kDState / 8>(shared->b[stage]), decays, x);
}

// One warp: its 16 columns of `rows` rows of y, 32 bytes a row; `out` is the first of them.
__device__ inline void WriteY(const uint4* y_tile, uint32_t part, uint32_t rows, int64_t stride,
                              Bf16Number* out) {
  const uint32_t lane = LaneAnew();
  const uint32_t piece = lane % 2;
#pragma unroll
  for (uint32_t base = 0; base < kChunk; base += 16) {
    const uint32_t row = base + lane / 2;
    if (row >= rows) break;
    *reinterpret_cast<uint4*>(out + row * stride + piece * 8) =
        y_tile[SsdTile<kSsdHeadPieces>::At(row, 2 * part + piece)];
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
