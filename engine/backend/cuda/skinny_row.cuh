// Parts of the one-row product's kernel: the order of the work, a warp's ring, its sums.
//
// What: a block owns consecutive outputs, as many as any other block or one more, and takes them
//   in passes of up to 10 tiles of 8 rows of W. The columns are cut into rounds of 512, of which
//   each of the 8 warps has a chunk of 64: 128 bytes of each row. A warp streams the tiles of a
//   round, then those of the next, through a ring of its own, a lane copying what the same lane
//   will use: no warp waits for another before the pass's end. Example, W [60, 1104], two blocks:
//   each has one pass of 30 rows, tiles of 8, 8, 8 and 6, times rounds 0, 1, 2; in round 2 (columns
//   1024 to 1535) warp 0 has 64 columns, warp 1 has 16, the others none.
// Thread safety: called by all threads of a block. Ownership: none.
// Preconditions: columns are a multiple of 8, rows of W begin on multiples of 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_CUH_

#include <cstdint>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/product_output.cuh"
#include "engine/backend/cuda/rms_norm.cuh"
#include "engine/backend/cuda/skinny_ring.cuh"
#include "engine/backend/cuda/warp_matrix.cuh"

namespace eidetic::cuda {

inline constexpr int32_t kRowWarps = 8;
inline constexpr int32_t kRowThreads = kRowWarps * 32;
static_assert(kRowThreads == kNormThreads);
inline constexpr int32_t kRowStages = 24;                    // 192 KB of weights under way
inline constexpr int32_t kPassTileRows = 8;                  // of W: n of mma.m16n8k16
inline constexpr int32_t kPassTiles = 10;                    // their sums wait in registers
inline constexpr int32_t kRowChunk = 64;                     // columns: a cache line
inline constexpr int32_t kRowRound = kRowChunk * kRowWarps;  // columns of a round
inline constexpr int32_t kHalves = 2;                        // 16-byte pieces a lane and tile
inline constexpr int32_t kRowStageBytes = kHalves * kRowThreads * 16;

struct RowArgs {
  const Bf16Number* w;  // [swiglu ? 2 * outputs : outputs, columns]
  NormArgs norm;        // its x: [columns]; without weight x is bf16 and taken as it is
  ProductOutput output;
  int32_t columns;
  int32_t rounds;  // of all columns
  bool swiglu;     // tiles are then gates and ups in turns
};

// The outputs whose sums are in registers together.
struct Pass {
  int32_t first, count, tiles;

  __device__ Pass(const RowArgs& args, const Share& share, int32_t first)
      : first(first), count(min(MaxOutputs(args), share.end - first)) {
    tiles = (count + kPassTileRows - 1) / kPassTileRows * (args.swiglu ? 2 : 1);
  }
  __device__ static int32_t MaxOutputs(const RowArgs& args) {
    return kPassTiles * kPassTileRows / (args.swiglu ? 2 : 1);
  }
};

// With columns or rows outside, 16 zeros.
__device__ inline void CopyPiece(uint4* to, const Bf16Number* from, bool inside) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}

// A lane's share of its warp's tiles, in the order of the work: row g of the tile (g = lane / 4),
// columns 8t .. 8t + 7 and 32 + 8t .. 32 + 8t + 7 of the warp's chunk (t = lane % 4).
class TileStream {
 public:
  __device__ TileStream(const RowArgs& args, const Share& share, uint4* ring)
      : args_(args), share_(share), pass_(args, share, share.begin), ring_(ring + threadIdx.x) {}

  // Starts the copy of one more tile, to where Next's was; beyond the last, of nothing.
  __device__ void Refill() {
    if (pass_.first < share_.end) {
      Start(ring_ + stage_ * (kHalves * kRowThreads));
      Advance();
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
    stage_ = stage_ + 1 == kRowStages ? 0 : stage_ + 1;
  }
  // The tile that follows the one before; valid until Refill.
  __device__ const uint4* Next() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kRowStages - 1) : "memory");
    return ring_ + stage_ * (kHalves * kRowThreads);
  }

 private:
  __device__ void Start(uint4* to) const {
    const int32_t lane = threadIdx.x % 32;
    const int32_t tile = args_.swiglu ? tile_ / 2 : tile_;
    const int32_t output = tile * kPassTileRows + lane / 4;
    const bool is_up = args_.swiglu && tile_ % 2 != 0;
    const int64_t row = pass_.first + output + (is_up ? args_.output.outputs : 0);
    const int32_t column = round_ * kRowRound + threadIdx.x / 32 * kRowChunk + lane % 4 * kPiece;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int32_t at = column + half * (kRowChunk / 2);
      const bool inside = output < pass_.count && at < args_.columns;
      CopyPiece(to + half * kRowThreads, args_.w + (inside ? row * args_.columns + at : 0), inside);
    }
  }
  __device__ void Advance() {
    if (++tile_ != pass_.tiles) return;
    tile_ = 0;
    if (++round_ != args_.rounds) return;
    round_ = 0;
    pass_ = Pass(args_, share_, pass_.first + pass_.count);
  }

  const RowArgs& args_;
  const Share& share_;
  Pass pass_;
  uint4* ring_;  // shared memory: [kRowStages][kHalves] pieces, kRowThreads apart
  int32_t tile_ = 0, round_ = 0, stage_ = 0;
};

// Of lane t < 4: outputs 2t and 2t + 1 of each tile. The other lanes' are unused: they stand for
// rows of x that are not there, and read the one there is.
using RowSums = float[kPassTiles][2];

// sums += tile x^T. Two chains of two instructions, each from zero: none waits for another tile's.
// Which columns one takes as its k is free as long as w and x agree.
__device__ inline void MultiplyRowTile(const uint4* tile, const uint4 (&x)[kHalves],
                                       float (&sums)[2]) {
  float parts[kHalves][4] = {};
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    const uint4 w = tile[half * kRowThreads];
    Multiply16x8x16(parts[half], x[half].x, 0, x[half].y, 0, w.x, w.y);
    Multiply16x8x16(parts[half], x[half].z, 0, x[half].w, 0, w.z, w.w);
  }
  sums[0] += parts[0][0] + parts[1][0];
  sums[1] += parts[0][1] + parts[1][1];
}

// This warp's chunks of a pass. `x`: in shared memory.
__device__ inline void MultiplyPass(const RowArgs& args, const Pass& pass, const char* x,
                                    TileStream* stream, RowSums& sums) {
  int32_t column = threadIdx.x / 32 * kRowChunk + threadIdx.x % 4 * kPiece;
#pragma unroll 1
  for (int32_t round = 0; round < args.rounds; ++round, column += kRowRound) {
    uint4 pieces[kHalves];
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int32_t at = column + half * (kRowChunk / 2);
      pieces[half] = at < args.columns ? *reinterpret_cast<const uint4*>(x + at * 2) : uint4{};
    }
#pragma unroll
    for (int tile = 0; tile < kPassTiles; ++tile) {
      if (tile < pass.tiles) {
        MultiplyRowTile(stream->Next(), pieces, sums[tile]);
        stream->Refill();
      }
    }
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_CUH_
