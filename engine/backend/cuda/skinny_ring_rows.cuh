// x of the ring product on its way to shared memory.
//
// What: rows as they are, or normed with RmsNorm's bits.
// Thread safety: called by all threads named, together. Ownership: none.
// Preconditions: rows begin on multiples of 16 bytes and are whole pieces of eight; normed ones
//   have at most kMaxNormColumns columns.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_ROWS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_ROWS_CUH_

#include <cstdint>

#include "engine/backend/cuda/bulk_copy.cuh"
#include "engine/backend/cuda/rms_norm.cuh"
#include "engine/backend/cuda/skinny_ring.cuh"

namespace eidetic::cuda {

// Of the first warps, which norm.
__device__ inline void SyncNormThreads() {
  asm volatile("bar.sync 2, %0;" ::"n"(kNormThreads) : "memory");
}

// x as it is, by the first warp.
__device__ inline void StageRows(const RingArgs& args, char* to, uint64_t* came) {
  const auto* x = static_cast<const Bf16Number*>(args.norm.x);
  const uint32_t bytes = args.columns * 2;
  if (threadIdx.x == 0) ArriveExpecting(came, bytes * args.rows);
  __syncwarp();
  if (threadIdx.x < args.rows) {
    CopyBulk(to + threadIdx.x * XPitch(args), x + int64_t{threadIdx.x} * args.columns, bytes, came);
  }
  WaitForPhase(came, 0);
}

// 16 bytes, loaded here and not where they are first used.
__device__ inline uint4 LoadNow(const void* from) {
  uint4 bits;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
               : "l"(from)
               : "memory");
  return bits;
}

// Eight floats that stand side by side, as they come.
struct RawPiece {
  uint4 first, second;

  __device__ void Load(const void* low, const void* high) {
    first = LoadNow(low);
    second = LoadNow(high);
  }
  __device__ void Floats(float (&values)[kPiece]) const {
    LoadPiece(reinterpret_cast<const float*>(this), values);
  }
};

// Through the norm, in RmsNorm's order: thread i has pieces i, i + 256 and i + 512 of a row.
inline constexpr int32_t kNormPieces = 3;
inline constexpr int32_t kMaxNormColumns = kNormPieces * kNormThreads * kPiece;

template <NormKind kKind>
struct NormedRow {
  RawPiece weight[kNormPieces];

  __device__ static int32_t Column(int32_t j) {
    return (j * kNormThreads + static_cast<int32_t>(threadIdx.x)) * kPiece;
  }
  // No kernel of a step writes them.
  __device__ void LoadWeight(const NormArgs& norm) {
#pragma unroll
    for (int j = 0; j < kNormPieces; ++j) {
      const float* from = norm.weight + min(Column(j), norm.dim - kPiece);
      weight[j].Load(from, from + kPiece / 2);
    }
  }
  __device__ static void Values(const RawPiece& raw, float (&values)[kPiece]) {
    if constexpr (kKind == NormKind::kFloat32) {
      raw.Floats(values);
    } else {
      float gates[kPiece];
      LoadPiece(reinterpret_cast<const Bf16Number*>(&raw.first), values);
      LoadPiece(reinterpret_cast<const Bf16Number*>(&raw.second), gates);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) values[i] *= SiluFor<Bf16Number>(gates[i]);
    }
  }
  // Row `row` into `to`; one trip to memory. `sums`: [8 warps], not those of the row before.
  __device__ void Stage(const NormArgs& norm, int32_t row, float* sums, char* to) const {
    RawPiece raw[kNormPieces];
#pragma unroll
    for (int j = 0; j < kNormPieces; ++j) {
      const int32_t column = min(Column(j), norm.dim - kPiece);
      const int64_t at = row * norm.x_stride + column;
      if constexpr (kKind == NormKind::kFloat32) {
        const float* from = static_cast<const float*>(norm.x) + at;
        raw[j].Load(from, from + kPiece / 2);
      } else {
        raw[j].Load(static_cast<const Bf16Number*>(norm.x) + at,
                    static_cast<const Bf16Number*>(norm.gate) + row * norm.gate_stride + column);
      }
    }
    float square = 0;
#pragma unroll
    for (int j = 0; j < kNormPieces; ++j) {
      float values[kPiece];
      Values(raw[j], values);
      if (Column(j) >= norm.dim) break;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) square = fmaf(values[i], values[i], square);
    }
    square = WarpSum(square);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = square;
    SyncNormThreads();
    const float inverse_rms = InverseRms(norm, sums);
#pragma unroll
    for (int j = 0; j < kNormPieces; ++j) {
      if (Column(j) >= norm.dim) break;
      float values[kPiece], scales[kPiece];
      Values(raw[j], values);
      weight[j].Floats(scales);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) values[i] = values[i] * inverse_rms * scales[i];
      StorePiece(reinterpret_cast<Bf16Number*>(to) + Column(j), values);
    }
  }
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_ROWS_CUH_
