// Tiles of a chunk in shared memory, and the decays within it.
//
// What: 64 rows of 16-byte pieces, swizzled; cumulative decays of a head over a chunk.
// Thread safety: as each function says. Ownership: none.
// Preconditions: rows in device memory are aligned to 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_

#include <cstdint>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/scan_math.cuh"
#include "engine/backend/cuda/scan_ptx.cuh"

namespace eidetic::cuda {

// Tokens of a chunk. 64 keep a pair of heads' tiles under half of a multiprocessor's memory.
inline constexpr uint32_t kChunk = 64;

// kPieces pieces (8 bf16 numbers each) a row. Piece p of row r stands at p ^ (r % 8): the eight
// rows of one 8 x 8 matrix then lie in different banks. Rows are multiples of 128 bytes.
template <uint32_t kPieces>
struct SsdTile {
  uint32_t base;  // shared address

  __device__ explicit SsdTile(const void* shared) : base(SharedAddress(shared)) {}
  __device__ static uint32_t At(uint32_t row, uint32_t piece) {
    return row * kPieces + (piece ^ (row % 8));
  }
  __device__ uint32_t Address(uint32_t row, uint32_t piece) const {
    return base + At(row, piece) * 16;
  }
  // Whole block: asks for rows [0, rows) of `from`; the others become zeros.
  __device__ void LoadAsync(const Bf16Number* from, int64_t stride, uint32_t rows) const {
    for (uint32_t i = threadIdx.x; i < kChunk * kPieces; i += blockDim.x) {
      const uint32_t row = i / kPieces, piece = i % kPieces;
      const bool valid = row < rows;
      CopyPieceAsync(Address(row, piece), valid ? from + row * stride + piece * 8 : from, valid);
    }
  }
};

// Of one head over one chunk. With s_i the sum of -exp(a_log) dt'_k over tokens k <= i:
// Aligned: pairs of floats are stored at once, and tables of several heads lie in a row.
struct alignas(16) DecayTable {
  float sum[kChunk];         // s_i * log2(e)
  float dt[kChunk];          // dt'_i; 0 beyond the sequence's end
  float from_begin[kChunk];  // exp(s_i)
  float to_end[kChunk];      // dt'_i exp(s_63 - s_i)
  float whole;               // exp(s_63)
};

// One warp; lane l has tokens 2l and 2l + 1. Beyond the end dt' is 0: sums stay, nothing is added.
__device__ inline void FillDecays(DecayTable* table, float2 dt, float a_log) {
  const uint32_t lane = threadIdx.x % 32;
  const float rate = -expf(a_log) * kLog2E;
  const float2 step = {rate * dt.x, rate * dt.y};
  float sum = step.x + step.y;  // becomes that of lanes 0 to this one
#pragma unroll
  for (uint32_t offset = 1; offset < 32; offset *= 2) {
    const float lower = __shfl_up_sync(~0u, sum, offset);
    if (lane >= offset) sum += lower;
  }
  float before = __shfl_up_sync(~0u, sum, 1);
  if (lane == 0) before = 0.0f;
  const float first = before + step.x;
  const float end = __shfl_sync(~0u, sum, 31);
  const uint32_t i = 2 * lane;
  *reinterpret_cast<float2*>(table->sum + i) = {first, sum};
  *reinterpret_cast<float2*>(table->dt + i) = dt;
  *reinterpret_cast<float2*>(table->from_begin + i) = {ApproximateExp2(first),
                                                       ApproximateExp2(sum)};
  *reinterpret_cast<float2*>(table->to_end + i) = {dt.x * ApproximateExp2(end - first),
                                                   dt.y * ApproximateExp2(end - sum)};
  if (lane == 0) table->whole = ApproximateExp2(end);
}

// Two bf16 numbers, times two.
__device__ inline uint32_t Scaled(uint32_t pair, float2 by) {
  const float2 value = UnpackBf16(pair);
  return PackBf16(value.x * by.x, value.y * by.y);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_TILE_CUH_
