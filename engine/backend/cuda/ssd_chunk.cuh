// One chunk of the chunked scan, on the matrix units.
//
// What: the four lines that head ssd_scan.cu, with y transposed: H is then a product's A, from the
//   registers where it stands. Fragments are named in scan_ptx.cuh.
// Thread safety: a warpgroup calls each function, on its own head; `part` is a warp's number in it.
// Ownership: none. Preconditions: the chunk stands in shared memory.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_products.cuh"
#include "engine/backend/cuda/ssd_work.cuh"

namespace eidetic::cuda {

// Where a thread reads and writes, in bytes from the beginning of a panel.
struct SsdPlaces {
  uint32_t row, column;  // of its first number in a fragment
  uint32_t upper;        // 8 rows of C, G and P that are the warp's; see BeginG
  uint32_t c, p, own;    // ldmatrix and stmatrix: of C, of P within 8 rows, of x and y

  __device__ explicit SsdPlaces(uint32_t part) {
    const uint32_t lane = LaneAnew(), in_matrix = lane % 8;
    row = lane / 4;
    column = lane % 4 * 2;
    upper = 8 * part;
    c = (lane % 16 < 8 ? part : 7 - part) * 1024 + SsdPanel::At(in_matrix, lane / 16) * 16;
    p = SsdPanel::At(in_matrix, lane / 8) * 16;
    own = SsdPanel::At(lane / 16 * 8 + in_matrix, 2 * part + lane / 8 % 2) * 16;
  }
};

// G = C B^T. Of every eight rows a warp has the eight that begin at 8 * part and at 8 * (7 - part):
// up to the diagonal that is as much for each. `c` is a shared address.
template <uint32_t kDState>
__device__ inline void BeginG(const SsdPlaces& places, uint32_t c, uint32_t b, float (&g)[32]) {
  uint32_t a[kDState / 16][4];
#pragma unroll
  for (uint32_t k = 0; k < kDState / 16; ++k) {
    LoadMatrices(a[k], ((c + places.c) ^ k % 4 * 32) + k / 4 * sizeof(SsdPanel));
  }
  BeginProducts();
#pragma unroll
  for (uint32_t k = 0; k < kDState / 16; ++k) Product<false>(g, a[k], Columns(b, k), k > 0);
  EndProducts();
}

// The warp's rows of P from those of G. Right of column 31 the first eight are zeros already.
__device__ inline void StoreP(const SsdPlaces& places, const DecayTable& decays,
                              const float (&g)[32], uint32_t p) {
  const uint32_t rows[2] = {places.upper + places.row, 56 - places.upper + places.row};
  const float own[2] = {decays.sum[rows[0]], decays.sum[rows[1]]};
  const auto* source = reinterpret_cast<const float2*>(decays.source + places.column);
#pragma unroll
  for (uint32_t i = 0; i < 3; ++i) {  // upper rows, columns 0 to 31; lower rows, 0 to 31, 32 to 63
    const uint32_t half = i == 0 ? 0 : 1, first = i == 2 ? 4 : 0;
    const int32_t last = static_cast<int32_t>(rows[half] - places.column);
    uint32_t pairs[4];
#pragma unroll
    for (uint32_t n = first; n < first + 4; ++n) {
      float low = g[4 * n + 2 * half] * ApproximateExp2(own[half] - source[4 * n].x);
      float high = g[4 * n + 2 * half + 1] * ApproximateExp2(own[half] - source[4 * n].y);
      const int32_t column = static_cast<int32_t>(8 * n);
      if (i != 1 && column > last) low = 0.0f;
      if (i != 1 && column + 1 > last) high = 0.0f;
      pairs[n - first] = PackBf16(low, high);
    }
    const uint32_t begin = (half == 0 ? places.upper : 56 - places.upper) * 128;
    StoreMatrices((p + begin + places.p) ^ first * 16, pairs);
  }
}
// Once: columns 32 to 63 of the warp's first eight rows.
__device__ inline void ClearP(const SsdPlaces& places, uint32_t p) {
  StoreMatrices((p + places.upper * 128 + places.p) ^ 64, {0, 0, 0, 0});
}

// A fragments of X^T of the warp's columns. A chunk's rows stand in one panel.
__device__ inline void LoadX(const SsdPlaces& places, uint32_t panel, uint32_t (&x)[4][4]) {
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) LoadTransposed(x[k], panel + places.own + k * 2048);
}

// exp(s_i) C H^T + d X, transposed; x: A fragments of X^T.
__device__ inline void ScaleY(const SsdPlaces& places, const DecayTable& decays, float d,
                              const uint32_t (&x)[4][4], float (&y)[32]) {
  const auto* from_begin = reinterpret_cast<const float2*>(decays.from_begin + places.column);
#pragma unroll
  for (uint32_t i = 0; i < 16; ++i) {
    const float2 scale = from_begin[i / 2 * 4];
    const float2 own = UnpackBf16(x[i / 4][i % 4]);
    y[2 * i] = fmaf(y[2 * i], scale.x, d * own.x);
    y[2 * i + 1] = fmaf(y[2 * i + 1], scale.y, d * own.y);
  }
}

// Y^T += X^T P^T.
__device__ inline void AddFromChunk(uint32_t p, const uint32_t (&x)[4][4], float (&y)[32]) {
  BeginProducts();
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) Product<false>(y, x[k], Columns(p, k), true);
  EndProducts();
}

// H [64, d_state] of a head, as a product's D.
template <uint32_t kDState>
struct SsdState {
  float h[kDState / 2];

  // Of column pair i (tile i / 2, row half i % 2).
  __device__ static int64_t At(uint32_t i, uint32_t first_row) {
    const uint32_t lane = LaneAnew();
    return int64_t{first_row + lane / 4 + 8 * (i % 2)} * kDState + i / 2 * 8 + lane % 4 * 2;
  }
  template <typename S>
  __device__ void Load(const S* from, uint32_t first_row) {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      const float2 pair = LoadPair(from + At(i, first_row));
      h[2 * i] = pair.x;
      h[2 * i + 1] = pair.y;
      // Numbers of their own from here on: ptxas would keep packed pairs beside them, and spill.
      asm volatile("" : "+f"(h[2 * i]), "+f"(h[2 * i + 1]));
    }
  }
  template <typename S>
  __device__ void Store(S* to, uint32_t first_row) const {
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      StorePair(to + At(i, first_row), {h[2 * i], h[2 * i + 1]});
    }
  }

  // Y^T = H C^T: D's fragments are A's.
  __device__ void BeginY(uint32_t c, float (&y)[32]) const {
    uint32_t a[kDState / 16][4];
#pragma unroll
    for (uint32_t i = 0; i < kDState / 4; ++i) {
      a[i / 4][i % 4] = PackBf16(h[2 * i], h[2 * i + 1]);
    }
    BeginProducts();
#pragma unroll
    for (uint32_t k = 0; k < kDState / 16; ++k) Product<false>(y, a[k], Columns(c, k), k > 0);
    EndProducts();
  }

  // H = exp(s_end) H + (X dt' exp(s_end - s))^T B.
  __device__ void BeginAdvance(const SsdPlaces& places, uint32_t b, const DecayTable& decays,
                               const uint32_t (&x)[4][4]) {
    const uint2* to_end = decays.to_end + places.column / 2;
    uint32_t a[kChunk / 16][4];
#pragma unroll
    for (uint32_t i = 0; i < kChunk / 4; ++i) {
      a[i / 4][i % 4] = Scaled(x[i / 4][i % 4], to_end[i / 2 * 4]);
    }
    const float whole = decays.whole;
#pragma unroll
    for (uint32_t i = 0; i < kDState / 2; ++i) h[i] *= whole;
    BeginProducts();
#pragma unroll
    for (uint32_t k = 0; k < kChunk / 16; ++k) Product<true>(h, a[k], Rows(b, k), true);
    EndProducts();
  }
  __device__ void EndAdvance() { WaitProducts<0>(h); }
};

// y takes x's place; nobody else reads the warp's columns.
__device__ inline void StoreY(const SsdPlaces& places, uint32_t panel, const float (&y)[32]) {
#pragma unroll
  for (uint32_t k = 0; k < kChunk / 16; ++k) {
    StoreTransposed(panel + places.own + k * 2048,
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

// y of the last chunk: the copy engine would write beyond the sequence's end.
template <uint32_t kDState>
__device__ inline void WriteLastY(const SsdArgs& args, const SsdShared<kDState>* shared,
                                  uint32_t slot, uint32_t part) {
  const SsdWork& work = shared->work;
  const uint32_t chunk = work.Chunks() - 1;
  const int64_t stride = int64_t{args.heads} * kSsdHeadDim;
  __syncwarp();
  WriteY(shared->stages[chunk % kSsdStages].x[slot], part, work.Rows(chunk), stride,
         args.out + work.FirstRow(chunk) * stride + (work.head + slot) * kSsdHeadDim + 16 * part);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_CHUNK_CUH_
