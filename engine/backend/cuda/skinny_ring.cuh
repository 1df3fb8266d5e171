// Parts of the ring product's kernel: the block's share, the ring of weights, the rows of x.
//
// What: a block owns consecutive outputs, as many as any other block or one more, and takes them
//   in tiles of 16 rows of W, four quarters of 4. The columns are cut into rounds of up to 5 steps
//   of 512, a step into 16 warps' chunks of 32. A last warp copies a quarter's round at a time into
//   the ring. Example, W [60, 2600], two blocks: each has tiles of 16 and 14 rows (quarters of 4,
//   4, 4 and 2), times rounds of columns 0 to 1535 and 1536 to 2599; in the last round's last step
//   (columns 2560 to 3071) warp 0 has 32 columns, warp 1 has 8, the others none.
// Thread safety: called by all threads of a block or of the warps named. Ownership: none.
// Preconditions: columns are a multiple of 8, rows of W and x begin on multiples of 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_CUH_

#include <cstdint>

#include "engine/backend/cuda/bulk_copy.cuh"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/product_output.cuh"
#include "engine/backend/cuda/rms_norm.cuh"
#include "engine/backend/cuda/warp_matrix.cuh"

namespace eidetic::cuda {

// Four of a scheduler: each waits for shared memory, then for its matrix instructions.
inline constexpr int32_t kRingWarps = 16;  // that multiply
inline constexpr int32_t kConsumers = kRingWarps * 32;
inline constexpr int32_t kRingThreads = kConsumers + 32;
inline constexpr int32_t kRingRows = 4;   // of x at most: n of mma.m16n8k16 is 8
inline constexpr int32_t kTileRows = 16;  // of W: m of mma.m16n8k16
inline constexpr int32_t kHalfTile = kTileRows / 2;
inline constexpr int32_t kQuarters = 4;  // of a tile: a stage holds one
inline constexpr int32_t kQuarterRows = kTileRows / kQuarters;
inline constexpr int32_t kRingChunk = 32;                  // columns: a 16-byte piece a lane
inline constexpr int32_t kStep = kRingChunk * kRingWarps;  // columns
// A copy is a row of a round, and a warp starts few of them in a microsecond: they must be long.
inline constexpr int32_t kMaxRoundSteps = 5;
inline constexpr int32_t kStepsAtOnce = 3;  // that a warp loads before it multiplies
inline constexpr int32_t kMaxStages = 16;
// Stages of 20 KB, when rows are long, under way at a time. Until x has come few, since the kernels
// before this one would wait behind them; then what 1.5 us of latency take at 4.2 TB/s.
inline constexpr int32_t kEarlyStages = 1;
inline constexpr int32_t kStagesInFlight = 3;

struct RingArgs {
  const Bf16Number* w;  // [swiglu ? 2 * outputs : outputs, columns]
  NormArgs norm;        // its x: [rows, columns]; without weight x is bf16 and taken as it is
  ProductOutput output;
  int32_t columns, rows;
  int32_t tile_outputs;   // 16; with swiglu 8: the other half is then the gates' ups
  int32_t round_columns;  // a multiple of kStep
  int32_t rounds;         // of all columns
  int32_t row_bytes;      // between rows of a stage
  int32_t stages;         // of the ring
  bool swiglu;
};

// The 8 lanes that read together have two rows, which must not meet in a bank: rows of x are 64
// bytes more apart than a multiple of 128, and of W they are from two stages, which are so.
__host__ __device__ inline int32_t StageBytes(const RingArgs& args) {
  return kQuarterRows * args.round_columns * 2 + 64;
}
__host__ __device__ inline int32_t XPitch(const RingArgs& args) {
  return args.round_columns * args.rounds * 2 + 64;
}

// The outputs of this block, as even as whole outputs can be: bytes decide, and the slowest block.
struct Share {
  int32_t begin, end;

  __device__ explicit Share(const ProductOutput& output)
      : begin(Border(output, blockIdx.x)), end(Border(output, blockIdx.x + 1)) {}

 private:
  __device__ static int32_t Border(const ProductOutput& output, uint32_t block) {
    const uint32_t least = static_cast<uint32_t>(output.outputs) / gridDim.x;
    const uint32_t more = static_cast<uint32_t>(output.outputs) - least * gridDim.x;
    return static_cast<int32_t>(block * least + min(block, more));
  }
};

// Of the ring: `full` counts the bytes of a stage, `empty` the warps that have read it. `x` counts
// the bytes of x as it is; `staged` ends its phase when x has come.
struct RingBarriers {
  uint64_t full[kMaxStages], empty[kMaxStages], x, staged;

  __device__ void Init(int32_t stages) {
    for (int32_t i = 0; i < stages; ++i) {
      InitBarrier(full + i, 1);
      InitBarrier(empty + i, kRingWarps);
    }
    InitBarrier(&x, 1);
    InitBarrier(&staged, 1);
    PublishBarriers();
  }
};

// Where the ring stands, for the one that fills it and for those that read it.
struct RingPlace {
  int32_t stage = 0;
  uint32_t parity = 0;

  __device__ void Advance(int32_t stages) {
    if (++stage != stages) return;
    stage = 0;
    parity ^= 1;
  }
};

// The outputs of a block that are multiplied together.
struct Tile {
  int32_t first, count;

  __device__ Tile(const RingArgs& args, const Share& share, int32_t first)
      : first(first), count(min(args.tile_outputs, share.end - first)) {}
  // With swiglu quarters 2 and 3 are the ups of the gates in 0 and 1.
  __device__ int32_t QuarterRows(const RingArgs& args, int32_t quarter) const {
    const int32_t before = (args.swiglu ? quarter % 2 : quarter) * kQuarterRows;
    return max(0, min(count - before, kQuarterRows));
  }
  __device__ int64_t QuarterFirst(const RingArgs& args, int32_t quarter) const {
    if (!args.swiglu) return first + quarter * kQuarterRows;
    return first + quarter % 2 * kQuarterRows + (quarter < 2 ? 0 : args.output.outputs);
  }
};

// Starts the copy of a round of `rows` rows of W. By one warp.
__device__ inline void FillStage(const RingArgs& args, int64_t first, int32_t rows, int32_t round,
                                 char* stage, uint64_t* full) {
  const int32_t lane = threadIdx.x % 32;
  const int32_t column = round * args.round_columns;
  const uint32_t bytes = min(args.round_columns, args.columns - column) * 2;
  const bool whole = args.rounds == 1;  // rows then follow one another without a gap
  if (lane == 0) ArriveExpecting(full, bytes * rows);
  __syncwarp();
  if (lane < (whole ? 1 : rows)) {
    CopyBulkOnce(stage + lane * args.row_bytes, args.w + (first + lane) * args.columns + column,
                 whole ? bytes * rows : bytes, full);
  }
}

// All of the block's weights, through the ring, in the order in which they are multiplied. Never
// more than some stages are asked for and have not come: what others read meanwhile would wait
// behind them. By one warp.
__device__ inline void Produce(const RingArgs& args, const Share& share, char* ring,
                               RingBarriers* barriers) {
  RingPlace place, arrived;
  int32_t under_way = 0;
  const auto fill = [&](int64_t first, int32_t rows, int32_t round) {
    const bool staged = __any_sync(~0u, HasPhaseEnded(&barriers->staged, 0));
    const int32_t most = staged ? kStagesInFlight : kEarlyStages;
    while (under_way >= most) {
      WaitForPhase(barriers->full + arrived.stage, arrived.parity);
      arrived.Advance(args.stages);
      --under_way;
    }
    WaitForPhase(barriers->empty + place.stage, place.parity ^ 1);
    FillStage(args, first, rows, round, ring + place.stage * StageBytes(args),
              barriers->full + place.stage);
    ++under_way;
    place.Advance(args.stages);
  };
  for (int32_t first = share.begin; first < share.end; first += args.tile_outputs) {
    const Tile tile(args, share, first);
    for (int32_t round = 0; round < args.rounds; ++round) {
      for (int32_t quarter = 0; quarter < kQuarters; ++quarter) {
        const int32_t rows = tile.QuarterRows(args, quarter);
        if (rows > 0) fill(tile.QuarterFirst(args, quarter), rows, round);
      }
    }
  }
}

// Which row of half a tile is the instruction's row g: even ones are from the half's first quarter.
__device__ inline int32_t HalfRow(int32_t g) { return g % 2 * kQuarterRows + g / 2; }

// Sums of a lane: of the instruction's rows g and g + 8 with rows 2t and 2t + 1 of x (lane =
// 4 g + t). Two of them, so that an instruction does not wait for the one before.
using LaneSums = float[2][4];

// A lane's view of the ring and of x. Which columns an instruction takes as its k is free as long
// as w and x agree: the 8 columns of a lane's piece are its share of two instructions.
struct LaneReader {
  const char* ring;  // the lane's row of the first stage
  const char* x;
  int32_t column;  // of the lane's piece within a step

  // Rows of x beyond the last are the last, and unused; so are rows of W that no copy filled.
  __device__ LaneReader(const RingArgs& args, const char* ring, const char* x) {
    const int32_t lane = threadIdx.x % 32;
    column = threadIdx.x / 32 * kRingChunk + lane % 4 * kPiece;
    this->ring = ring + lane / 8 * args.row_bytes + column * 2;
    this->x = x + min(lane / 4, args.rows - 1) * XPitch(args) + column * 2;
  }

  // Of the lane's part of a step, from where `at` is in the first one; zeros from `columns` on.
  __device__ uint4 Piece(const char* at, int32_t step, int32_t columns) const {
    const bool inside = step * kStep + column < columns;
    return inside ? *reinterpret_cast<const uint4*>(at + step * kStep * 2) : uint4{};
  }
  // `high` has `high_columns`: none where the tile has no such half.
  __device__ void MultiplySteps(const char* low, const char* high, const char* x, int32_t first,
                                int32_t columns, int32_t high_columns, LaneSums& sums) const {
    uint4 w[kStepsAtOnce][2], row[kStepsAtOnce];
#pragma unroll
    for (int i = 0; i < kStepsAtOnce; ++i) {
      w[i][0] = Piece(low, first + i, columns);
      w[i][1] = Piece(high, first + i, high_columns);
      row[i] = Piece(x, first + i, columns);
    }
#pragma unroll
    for (int i = 0; i < kStepsAtOnce; ++i) {
      const uint4 &a = w[i][0], &b = w[i][1];
      Multiply16x8x16(sums[0], a.x, b.x, a.y, b.y, row[i].x, row[i].y);
      Multiply16x8x16(sums[1], a.z, b.z, a.w, b.w, row[i].z, row[i].w);
    }
  }

  // Of one tile, this warp's chunks of a round. In place of quarters that are not there the first
  // one is read again, and unused. The ring has more stages than a tile has quarters.
  __device__ void MultiplyRound(const RingArgs& args, const Tile& tile, int32_t round,
                                RingPlace* place, RingBarriers* barriers, LaneSums& sums) const {
    const bool odd = threadIdx.x / 4 % 2 != 0;
    RingPlace used = *place;
    int32_t low = used.stage, high = used.stage;
#pragma unroll
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      if (tile.QuarterRows(args, quarter) == 0) continue;
      WaitForPhase(barriers->full + place->stage, place->parity);
      if (odd == (quarter % 2 != 0)) (quarter < 2 ? low : high) = place->stage;
      place->Advance(args.stages);
    }
    const int32_t columns = min(args.round_columns, args.columns - round * args.round_columns);
    const int32_t high_columns = tile.QuarterRows(args, 2) > 0 ? columns : 0;
#pragma unroll 1
    for (int32_t step = 0; step * kStep < columns; step += kStepsAtOnce) {
      MultiplySteps(ring + low * StageBytes(args), ring + high * StageBytes(args),
                    x + round * args.round_columns * 2, step, columns, high_columns, sums);
    }
    __syncwarp();
    for (; threadIdx.x % 32 == 0 && used.stage != place->stage; used.Advance(args.stages)) {
      Arrive(barriers->empty + used.stage);
    }
  }
};

// Of the warps that multiply.
__device__ inline void SyncConsumers() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumers) : "memory");
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_CUH_
