// Rows of H [heads * 64, d_state] on their way through a block that advances them by one token.
//
// What: pieces of 16 bytes of them, float32 or bf16, and what a token does to a piece.
// Thread safety: a block's threads together. Ownership: none.
// Preconditions: rows are contiguous and aligned to 16 bytes; a block has kThreads threads.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_STATE_ROWS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_STATE_ROWS_CUH_

#include <cstdint>

#include "engine/backend/cuda/bulk_copy.cuh"
#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {

constexpr int32_t kThreads = 128;
constexpr int32_t kLanes = 8;  // a row of H belongs to 8 lanes: 128-byte pieces, 3 shuffles
constexpr int32_t kPassRows = kThreads / kLanes;  // rows of H that a block holds at a time
constexpr int32_t kBulkPasses = 4;                // with so many H goes through shared memory
constexpr int32_t kBulkBlocks = 6;                // then fit a multiprocessor: 6 * 34 KB in float32

// 16 bytes of a row, as they stand in memory.
using StatePiece = uint4;

// h = decay h + input b; returns h . c.
__device__ inline float Update(float4* h, const float4& b, const float4& c, float decay,
                               float input, float sum) {
  h->x = fmaf(decay, h->x, input * b.x);
  h->y = fmaf(decay, h->y, input * b.y);
  h->z = fmaf(decay, h->z, input * b.z);
  h->w = fmaf(decay, h->w, input * b.w);
  return fmaf(h->w, c.w, fmaf(h->z, c.z, fmaf(h->y, c.y, fmaf(h->x, c.x, sum))));
}

// The same with a piece of H's numbers S; b and c are its columns' first. In bf16 y is of the
// numbers before they are rounded.
template <typename S>
__device__ inline float UpdatePiece(StatePiece* piece, const float4* b, const float4* c,
                                    float decay, float input, float sum) {
  if constexpr (sizeof(S) == sizeof(float)) {
    float4 h = *reinterpret_cast<const float4*>(piece);
    sum = Update(&h, *b, *c, decay, input, sum);
    *piece = *reinterpret_cast<const StatePiece*>(&h);
  } else {
    const float2 pairs[] = {UnpackBf16(piece->x), UnpackBf16(piece->y), UnpackBf16(piece->z),
                            UnpackBf16(piece->w)};
    float4 low = {pairs[0].x, pairs[0].y, pairs[1].x, pairs[1].y};
    float4 high = {pairs[2].x, pairs[2].y, pairs[3].x, pairs[3].y};
    sum = Update(&low, b[0], c[0], decay, input, sum);
    sum = Update(&high, b[1], c[1], decay, input, sum);
    *piece = {PackBf16(low.x, low.y), PackBf16(low.z, low.w), PackBf16(high.x, high.y),
              PackBf16(high.z, high.w)};
  }
  return sum;
}

// kPasses * kPassRows rows: in registers, or in shared memory where every block brings so much
// that registers would hold too few blocks.
template <typename S, int32_t kDState, int32_t kPasses>
struct StateRows {
  static constexpr bool kBulk = kPasses == kBulkPasses;
  static constexpr int32_t kRowPieces = kDState * sizeof(S) / sizeof(StatePiece);
  static constexpr int32_t kPieces = kRowPieces / kLanes;  // of a row, a lane
  static constexpr int32_t kAll = kPasses * kPassRows * kRowPieces;
  struct Shared {
    StatePiece h[kBulk ? kAll : 1];
    uint64_t there;
  };

  StatePiece h[kBulk ? 1 : kPasses][kPieces];
  Shared* shared;

  // Where a thread's piece stands within a row, and within the block's rows.
  __device__ static int32_t InRow(int32_t piece) {
    return piece * kLanes + static_cast<int32_t>(threadIdx.x) % kLanes;
  }
  __device__ static int32_t At(int32_t pass, int32_t piece) {
    const int32_t row = static_cast<int32_t>(threadIdx.x) / kLanes;
    return (pass * kPassRows + row) * kRowPieces + InRow(piece);
  }
  __device__ void Begin(const S* from) {
    if constexpr (kBulk) {
      if (threadIdx.x != 0) return;
      InitBarrier(&shared->there, 1);
      PublishBarriers();
      ArriveExpecting(&shared->there, sizeof(shared->h));
      CopyBulk(shared->h, from, sizeof(shared->h), &shared->there);
    } else {
#pragma unroll
      for (int32_t i = 0; i < kPasses * kPieces; ++i) {
        h[i / kPieces][i % kPieces] =
            __ldcs(reinterpret_cast<const StatePiece*>(from) + At(i / kPieces, i % kPieces));
      }
    }
  }
  // After the block's barrier.
  __device__ void Wait() {
    if constexpr (kBulk) WaitForPhase(&shared->there, 0);
  }
  __device__ StatePiece Take(int32_t pass, int32_t piece) const {
    if constexpr (kBulk) return shared->h[At(pass, piece)];
    return h[kBulk ? 0 : pass][piece];
  }
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_STATE_ROWS_CUH_
