// What a block of the chunked scan works on, and its way into shared memory.
//
// What: up to three heads of one group of one sequence; loads of a chunk, decays of a chunk.
// Thread safety: as each function says. Ownership: none.
// Preconditions: as SsdScan.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_tile.cuh"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {

inline constexpr uint32_t kSsdHeadDim = 64;
inline constexpr uint32_t kSsdHeadThreads = 128;  // a warpgroup has a head, H in its registers
inline constexpr uint32_t kSsdMaxHeads = 3;       // a block's, which share B and C; so registers do
inline constexpr uint32_t kSsdStages = 4;         // of B and C: see SsdKernel
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

// What a block works on: as many heads of one group of one sequence as it has warpgroups. Where the
// group ends before, the last warpgroups do its last head again and write nothing.
struct SsdWork {
  StateSpan span;
  const Bf16Number* x;  // of the sequence's first row and the block's first head
  const Bf16Number* b;
  const Bf16Number* c;
  int64_t stride;  // of xbc
  uint32_t head, heads;

  __device__ void Find(const SsdArgs& args, uint32_t d_state) {
    const SpanTile tile = FindSpanTile<kWholeSpan>(args.sequences, args.sequence_count, 2,
                                                   static_cast<int32_t>(blockIdx.y));
    span = args.sequences[tile.span];
    const uint32_t group_heads = args.heads / args.groups;
    const uint32_t block_heads = blockDim.x / kSsdHeadThreads;
    const uint32_t group_blocks = (group_heads + block_heads - 1) / block_heads;
    const uint32_t group = blockIdx.x / group_blocks;
    const uint32_t within = blockIdx.x % group_blocks * block_heads;
    head = group * group_heads + within;
    heads = min(block_heads, group_heads - within);
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

// 207 KB for d_state 128: one block a multiprocessor.
template <uint32_t kDState>
struct SsdShared {
  SsdPanel b[kSsdStages][kDState / 64];
  SsdPanel c[kSsdStages][kDState / 64];
  SsdPanel x[kSsdMaxHeads][2];  // this chunk's, whose place y takes, and the next one's
  SsdPanel p[kSsdMaxHeads];
  DecayTable decays[kSsdMaxHeads][2];
  uint64_t full[kSsdStages];
  SsdWork work;  // here since H leaves few registers
};

// Whole block. Rows beyond the end become zeros. A thread's rows are a multiple of 8 apart, so its
// pieces keep their place within a row.
template <uint32_t kDState>
__device__ inline void LoadBC(SsdShared<kDState>* shared, const SsdWork& work, uint32_t chunk) {
  constexpr uint32_t kPieces = kDState / 8;
  const uint32_t rows = work.Rows(chunk * kChunk);
  if (rows == 0) return;
  const uint32_t stage = chunk % kSsdStages, step = blockDim.x / kPieces;
  const uint32_t piece = threadIdx.x % kPieces, first = threadIdx.x / kPieces;
  uint32_t b = shared->b[stage][piece / 8].Address(first, piece % 8);
  uint32_t c = shared->c[stage][piece / 8].Address(first, piece % 8);
  const int64_t apart = work.c - work.b;
  const Bf16Number* from = work.b + (chunk * kChunk + first) * work.stride + piece * 8;
  for (uint32_t row = first; row < kChunk; row += step) {
    const bool valid = row < rows;
    const Bf16Number* source = valid ? from : work.b;
    CopyPieceAsync(b, source, valid);
    CopyPieceAsync(c, source + apart, valid);
    from += step * work.stride;
    b += step * 128;
    c += step * 128;
  }
}
// One warp: its 16 columns of one head's x; `from` is the first of them in the sequence's first row.
__device__ inline void LoadX(const SsdPanel& panel, const SsdWork& work, const Bf16Number* from,
                             uint32_t part, uint32_t chunk) {
  const uint32_t rows = work.Rows(chunk * kChunk);
  if (rows == 0) return;
  const uint32_t lane = LaneAnew();
  const uint32_t to = panel.Address(lane / 2, 2 * part + lane % 2);
  const Bf16Number* row = from + (chunk * kChunk + lane / 2) * work.stride + lane % 2 * 8;
#pragma unroll
  for (uint32_t base = 0; base < kChunk; base += 16) {
    const bool valid = base + lane / 2 < rows;
    CopyPieceAsync(to + base * 128, valid ? row + base * work.stride : from, valid);
  }
}

// dt before softplus, for tokens 2 * lane and 2 * lane + 1 of a chunk.
__device__ inline float2 LoadDt(const SsdArgs& args, const SsdWork& work, uint32_t first,
                                uint32_t head) {
  const uint32_t token = static_cast<uint32_t>(threadIdx.x) % 32 * 2;
  const uint32_t rows = work.Rows(first);
  const Bf16Number* dt =
      args.dt + (work.span.row_begin + first + token) * args.dt_stride + head;
  return {token < rows ? ToFloat(dt[0]) : 0.0f,
          token + 1 < rows ? ToFloat(dt[args.dt_stride]) : 0.0f};
}
__device__ inline void FillChunkDecays(const SsdArgs& args, const SsdWork& work, uint32_t first,
                                       uint32_t head, float2 raw, DecayTable* table) {
  const uint32_t token = static_cast<uint32_t>(threadIdx.x) % 32 * 2;
  const uint32_t rows = work.Rows(first);
  const float bias = args.dt_bias[head];
  const float2 dt = {token < rows ? StepSize(raw.x, bias, args.dt_min, args.dt_max) : 0.0f,
                     token + 1 < rows ? StepSize(raw.y, bias, args.dt_min, args.dt_max) : 0.0f};
  FillDecays(table, dt, args.a_log[head]);
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
