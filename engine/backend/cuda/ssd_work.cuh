// What a block of the chunked scan works on, and its way into shared memory.
//
// What: some heads of one group of one sequence; the warps that bring a chunk and its decays.
// Thread safety: as each function says. Ownership: none.
// Preconditions: as SsdScan.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_

#include <cstdint>

#include "engine/backend/cuda/ssd_boxes.cuh"
#include "engine/backend/cuda/ssd_products.cuh"
#include "engine/backend/cuda/ssd_tile.cuh"
#include "engine/backend/cuda/state_span.cuh"

namespace eidetic::cuda {

inline constexpr uint32_t kSsdHeadDim = 64;
inline constexpr uint32_t kSsdHeadThreads = 128;  // a warpgroup has a head, H in its registers
inline constexpr uint32_t kSsdMaxHeads = 3;  // a block's, which share B and C: its registers' end
inline constexpr uint32_t kSsdStages = 3;    // chunks in shared memory; see SsdKernel
inline constexpr int32_t kWholeSpan = 1 << 30;  // rows: a tile is a sequence

// Who does which heads of a group: `blocks` blocks `heads` each, then a block each of the rest.
struct SsdShare {
  int32_t heads, blocks;
};

struct SsdArgs {
  BoxSource xbc;         // [T, heads * 64 + 2 * groups * d_state]
  BoxSource y;           // [T, heads * 64]
  Bf16Number* out;       // the same
  const Bf16Number* dt;  // [T, heads], row stride dt_stride
  const float* a_log;    // [heads]; so are dt_bias and d
  const float* dt_bias;
  const float* d;
  const StateSpan* sequences;
  int64_t dt_stride;
  size_t state_offset;
  float dt_min, dt_max;
  int32_t sequence_count, heads, groups;
  int32_t sequences_there;  // of two rows or more
  SsdShare share;
};

// What a block works on: some heads of one group of one sequence. The grid has first all blocks of
// several heads, then those of one.
struct SsdWork {
  StateSpan span;
  uint32_t head, heads;
  uint32_t b, c;  // their first columns in xbc

  __device__ void Find(const SsdArgs& args, uint32_t d_state) {
    const uint32_t group_heads = args.heads / args.groups;
    const uint32_t shared_blocks = args.share.blocks, shared_heads = args.share.heads;
    const uint32_t all_shared = args.sequences_there * args.groups * shared_blocks;
    const bool alone = blockIdx.x >= all_shared;
    const uint32_t blocks = alone ? group_heads - shared_blocks * shared_heads : shared_blocks;
    const uint32_t index = blockIdx.x - (alone ? all_shared : 0);
    const uint32_t group = index / blocks % args.groups, within = index % blocks;
    heads = alone ? 1 : shared_heads;
    head = group * group_heads + (alone ? shared_blocks * shared_heads : 0) + within * heads;
    const SpanTile tile = FindSpanTile<kWholeSpan>(
        args.sequences, args.sequence_count, 2, static_cast<int32_t>(index / blocks / args.groups));
    span = args.sequences[tile.span];
    b = args.heads * kSsdHeadDim + group * d_state;
    c = b + args.groups * d_state;
  }
  __device__ uint32_t Chunks() const {
    return static_cast<uint32_t>((span.row_count + kChunk - 1) / kChunk);
  }
  // Of a chunk; none beyond the end.
  __device__ uint32_t Rows(uint32_t chunk) const {
    const int64_t left = span.row_count - int64_t{chunk} * kChunk;
    return static_cast<uint32_t>(max(int64_t{0}, min(int64_t{kChunk}, left)));
  }
  __device__ uint32_t FirstRow(uint32_t chunk) const {
    return static_cast<uint32_t>(span.row_begin) + chunk * kChunk;
  }
};

// What one chunk brings.
template <uint32_t kDState>
struct SsdStage {
  SsdPanel b[kDState / 64];
  SsdPanel c[kDState / 64];
  SsdPanel x[kSsdMaxHeads];  // y takes its place
};

// 206 KB for d_state 128: one block a multiprocessor.
template <uint32_t kDState>
struct SsdShared {
  SsdStage<kDState> stages[kSsdStages];
  SsdPanel p[kSsdMaxHeads];
  DecayTable decays[kSsdStages][kSsdMaxHeads];
  uint64_t full[kSsdStages];   // a chunk is there
  uint64_t empty[kSsdStages];  // every head has finished with it
  uint64_t landed;             // the copies of a last chunk that is not whole
  SsdWork work;
};

template <uint32_t kDState>
__device__ inline void InitBarriers(SsdShared<kDState>* shared) {
  for (uint32_t i = 0; i < kSsdStages; ++i) {
    InitBarrier(&shared->full[i], 1 + shared->work.heads);
    InitBarrier(&shared->empty[i], shared->work.heads);
  }
  InitBarrier(&shared->landed, 1);
  PublishBarriers();
}

// One thread.
template <uint32_t kDState>
__device__ inline void LoadChunk(const SsdArgs& args, SsdShared<kDState>* shared, uint32_t chunk,
                                 uint64_t* barrier) {
  const SsdWork& work = shared->work;
  SsdStage<kDState>& stage = shared->stages[chunk % kSsdStages];
  const uint32_t row = work.FirstRow(chunk);
  ExpectBytes(barrier, (2 * kDState / 64 + work.heads) * kBoxBytes);
  for (uint32_t i = 0; i < kDState / 64; ++i) {
    LoadBox(&stage.b[i], args.xbc, row, work.b + i * 64, barrier);
    LoadBox(&stage.c[i], args.xbc, row, work.c + i * 64, barrier);
  }
  for (uint32_t i = 0; i < work.heads; ++i) {
    LoadBox(&stage.x[i], args.xbc, row, (work.head + i) * kSsdHeadDim, barrier);
  }
}
// One warp. Rows from `rows` on are another sequence's: not even a NaN of theirs may be seen.
template <uint32_t kDState>
__device__ inline void ClearBeyond(SsdStage<kDState>* stage, uint32_t rows) {
  auto* panels = reinterpret_cast<SsdPanel*>(stage);
  for (uint32_t panel = 0; panel < sizeof(*stage) / sizeof(SsdPanel); ++panel) {
    for (uint32_t i = rows * SsdPanel::kPieces + LaneAnew(); i < kChunk * SsdPanel::kPieces;
         i += 32) {
      panels[panel].pieces[i] = {};
    }
  }
}

// One warp: the decays of one head; lane l has tokens 2l and 2l + 1 of a chunk.
struct SsdSteps {
  uint32_t head;
  float bias, rate;
  float2 raw;  // dt before softplus, of the chunk loaded last

  __device__ SsdSteps(const SsdArgs& args, uint32_t of_head)
      : head(of_head), bias(args.dt_bias[head]), rate(-expf(args.a_log[head]) * kLog2E) {}
  __device__ void Load(const SsdArgs& args, const SsdWork& work, uint32_t chunk) {
    const uint32_t token = LaneAnew() * 2, rows = work.Rows(chunk);
    const Bf16Number* dt =
        args.dt + (int64_t{work.FirstRow(chunk)} + token) * args.dt_stride + head;
    raw = {token < rows ? ToFloat(dt[0]) : 0.0f,
           token + 1 < rows ? ToFloat(dt[args.dt_stride]) : 0.0f};
  }
  // Writes the table of the chunk that was loaded, and loads the next one.
  __device__ void Fill(const SsdArgs& args, const SsdWork& work, uint32_t chunk,
                       DecayTable* table) {
    const uint32_t token = LaneAnew() * 2, rows = work.Rows(chunk);
    const float2 now = raw;
    Load(args, work, chunk + 1);
    const float2 dt = {StepSize(now.x, bias, args.dt_min, args.dt_max),
                       StepSize(now.y, bias, args.dt_min, args.dt_max)};
    FillDecays(table, {token < rows ? dt.x : 0.0f, token + 1 < rows ? dt.y : 0.0f}, rate);
  }
};

// Until chunk - kSsdStages, whose stage the chunk takes, is finished with.
template <uint32_t kDState>
__device__ inline void WaitForRoom(SsdShared<kDState>* shared, uint32_t chunk) {
  if (chunk < kSsdStages) return;
  WaitForPhase(&shared->empty[chunk % kSsdStages], (chunk / kSsdStages - 1) % 2);
}
// One warp: brings x, B and C, as stages become free.
template <uint32_t kDState>
__device__ inline void FeedBoxes(const SsdArgs& args, SsdShared<kDState>* shared) {
  const SsdWork& work = shared->work;
  for (uint32_t chunk = 0; chunk < work.Chunks(); ++chunk) {
    const uint32_t stage = chunk % kSsdStages, rows = work.Rows(chunk);
    uint64_t* full = &shared->full[stage];
    uint64_t* landing = rows == kChunk ? full : &shared->landed;
    WaitForRoom(shared, chunk);
    if (LaneAnew() == 0) {
      LoadChunk(args, shared, chunk, landing);
      Arrive(landing);
    }
    __syncwarp();
    if (rows == kChunk) continue;
    WaitForPhase(landing, 0);
    ClearBeyond(&shared->stages[stage], rows);
    ShowToProducts();
    __syncwarp();
    if (LaneAnew() == 0) Arrive(full);
  }
}
// One warp: brings one head's decays.
template <uint32_t kDState>
__device__ inline void FeedDecays(const SsdArgs& args, SsdShared<kDState>* shared, uint32_t slot) {
  const SsdWork& work = shared->work;
  SsdSteps steps(args, work.head + slot);
  steps.Load(args, work, 0);
  for (uint32_t chunk = 0; chunk < work.Chunks(); ++chunk) {
    const uint32_t stage = chunk % kSsdStages;
    WaitForRoom(shared, chunk);
    steps.Fill(args, work, chunk, &shared->decays[stage][slot]);
    __syncwarp();
    if (LaneAnew() == 0) Arrive(&shared->full[stage]);
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_WORK_CUH_
