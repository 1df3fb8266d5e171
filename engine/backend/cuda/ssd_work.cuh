// What a block of the chunked scan works on, and its way into shared memory.
//
// What: two heads of one group of one sequence; loads of a chunk, decays of a chunk.
// Thread safety: as each function says. Ownership: none.
// Preconditions: as SsdScan.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_tile.cuh"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {

inline constexpr uint32_t kSsdHeadDim = 64;
inline constexpr uint32_t kSsdHeadPieces = kSsdHeadDim / 8;
inline constexpr uint32_t kSsdHeads = 2;      // a block's: they share B, C and G
inline constexpr uint32_t kSsdHeadWarps = 4;  // each has 16 of a head's 64 rows of H in registers
inline constexpr uint32_t kSsdThreads = kSsdHeads * kSsdHeadWarps * 32;
inline constexpr int32_t kWholeSpan = 1 << 30;  // rows: a tile is a sequence

struct SsdArgs {
  const Bf16Number* xbc;  // [T, heads * 64 + 2 * groups * d_state]
  const Bf16Number* dt;   // [T, heads], row stride dt_stride
  const float* a_log;     // [heads]; so are dt_bias and d
  const float* dt_bias;
  const float* d;
  Bf16Number* out;  // [T, heads * 64]
  const StateSpan* sequences;
  int64_t dt_stride;
  size_t state_offset;
  float dt_min, dt_max;
  int32_t sequence_count, heads, groups;
};

// What a block works on: up to two heads of one group of one sequence.
struct SsdWork {
  StateSpan span;
  const Bf16Number* x;  // of the sequence's first row and the block's first head
  const Bf16Number* b;
  const Bf16Number* c;
  int64_t stride;  // of xbc
  uint32_t head, heads;
  float d[kSsdHeads];

  __device__ void Find(const SsdArgs& args, uint32_t d_state) {
    const SpanTile tile = FindSpanTile<kWholeSpan>(args.sequences, args.sequence_count, 2,
                                                   static_cast<int32_t>(blockIdx.y));
    span = args.sequences[tile.span];
    const uint32_t group_heads = args.heads / args.groups;
    const uint32_t group_pairs = (group_heads + kSsdHeads - 1) / kSsdHeads;
    const uint32_t group = blockIdx.x / group_pairs;
    const uint32_t within = blockIdx.x % group_pairs * kSsdHeads;
    head = group * group_heads + within;
    heads = min(kSsdHeads, group_heads - within);
    for (uint32_t i = 0; i < heads; ++i) d[i] = args.d[head + i];
    const int64_t inner = int64_t{args.heads} * kSsdHeadDim;
    stride = inner + 2 * int64_t{args.groups} * d_state;
    const Bf16Number* row = args.xbc + span.row_begin * stride;
    x = row + int64_t{head} * kSsdHeadDim;
    b = row + inner + int64_t{group} * d_state;
    c = b + int64_t{args.groups} * d_state;
  }
  // Of the chunk that begins at `first`; none beyond the end.
  __device__ uint32_t Rows(uint32_t first) const {
    return static_cast<uint32_t>(max(int64_t{0}, min(int64_t{kChunk}, span.row_count - first)));
  }
};

// 100 KB for d_state 128: two blocks a multiprocessor, so that one computes while one waits.
template <uint32_t kDState>
struct SsdShared {
  uint4 x[kSsdHeads][kChunk * kSsdHeadPieces];  // y takes its place
  uint4 p[kSsdHeads][kChunk * kChunk / 8];
  uint4 b[2][kChunk * kDState / 8];  // this chunk's and the next one's
  uint4 c[2][kChunk * kDState / 8];
  DecayTable decays[2][kSsdHeads];
  SsdWork work;  // here since H leaves few registers
};

// Whole block. A missing second head becomes zeros.
template <uint32_t kDState>
__device__ inline void LoadX(SsdShared<kDState>* shared, const SsdWork& work, uint32_t first) {
  const uint32_t rows = work.Rows(first);
#pragma unroll
  for (uint32_t i = 0; i < kSsdHeads; ++i) {
    const bool there = i < work.heads;
    SsdTile<kSsdHeadPieces>(shared->x[i])
        .LoadAsync(work.x + int64_t{first} * work.stride + (there ? i * kSsdHeadDim : 0),
                   work.stride, there ? rows : 0);
  }
}
template <uint32_t kDState>
__device__ inline void LoadBC(SsdShared<kDState>* shared, const SsdWork& work, uint32_t first) {
  const uint32_t rows = work.Rows(first);
  if (rows == 0) return;
  const uint32_t stage = first / kChunk % 2;
  SsdTile<kDState / 8>(shared->b[stage]).LoadAsync(work.b + first * work.stride, work.stride, rows);
  SsdTile<kDState / 8>(shared->c[stage]).LoadAsync(work.c + first * work.stride, work.stride, rows);
}
// x has one buffer; so that its load is short, it is in L2 by then. 128 bytes a head and row.
__device__ inline void PrefetchX(const SsdWork& work, uint32_t first) {
  const uint32_t row = static_cast<uint32_t>(threadIdx.x) / kSsdHeads;
  const uint32_t head = static_cast<uint32_t>(threadIdx.x) % kSsdHeads;
  if (row < work.Rows(first) && head < work.heads) {
    PrefetchToL2(work.x + int64_t{first + row} * work.stride + head * kSsdHeadDim);
  }
}

// dt before softplus, for tokens 2 * lane and 2 * lane + 1 of a chunk.
__device__ inline float2 LoadDt(const SsdArgs& args, const SsdWork& work, uint32_t first,
                                uint32_t head) {
  const uint32_t token = static_cast<uint32_t>(threadIdx.x) % 32 * 2;
  const uint32_t rows = work.Rows(first);
  const Bf16Number* dt =
      args.dt + (work.span.row_begin + first + token) * args.dt_stride + work.head + head;
  return {token < rows ? ToFloat(dt[0]) : 0.0f,
          token + 1 < rows ? ToFloat(dt[args.dt_stride]) : 0.0f};
}
__device__ inline void FillChunkDecays(const SsdArgs& args, const SsdWork& work, uint32_t first,
                                       uint32_t head, float2 raw, DecayTable* table) {
  const uint32_t token = static_cast<uint32_t>(threadIdx.x) % 32 * 2;
  const uint32_t rows = work.Rows(first);
  const float bias = args.dt_bias[work.head + head];
  const float2 dt = {token < rows ? StepSize(raw.x, bias, args.dt_min, args.dt_max) : 0.0f,
                     token + 1 < rows ? StepSize(raw.y, bias, args.dt_min, args.dt_max) : 0.0f};
  FillDecays(table, dt, args.a_log[work.head + head]);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
