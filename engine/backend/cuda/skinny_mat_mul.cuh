// Parts of the skinny product's kernel: the order of the work, the weights' ring, the rows' slab.
//
// What: a block owns groups of 16 rows of W. The columns are cut into rounds of 512, of which each
//   of the 8 warps has a chunk of 64: 128 bytes of each of the 16 rows. A warp streams its chunks
//   through a ring of its own, a lane copying what the same lane will use, so that the stream
//   needs no barrier. Example, W [40, 1104], one block: groups 0, 1, 2 (of 16, 16, 8 rows) times
//   rounds 0, 1, 2; in round 2 (columns 1024 to 1535) warp 0 has 64 columns, warp 1 has 16, the
//   others none.
// Thread safety: called by all threads of a block. Ownership: none.
// Preconditions: columns are a multiple of 8, rows of W and x begin on multiples of 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_CUH_

#include <cstdint>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/product_output.cuh"
#include "engine/backend/cuda/rms_norm.cuh"

namespace eidetic::cuda {

inline constexpr int32_t kSkinnyWarps = 8;
inline constexpr int32_t kSkinnyThreads = kSkinnyWarps * 32;
static_assert(kSkinnyThreads == kNormThreads);
inline constexpr int32_t kGroupRows = 16;                 // m of mma.m16n8k16
inline constexpr int32_t kBlockRows = 8;                  // n of mma.m16n8k16
inline constexpr int32_t kChunk = 64;                     // columns: a cache line
inline constexpr int32_t kRound = kChunk * kSkinnyWarps;  // columns
inline constexpr int32_t kTilePieces = 4;                 // 16-byte pieces a lane and chunk
inline constexpr int32_t kStages = 4;                     // 64 KB of weights under way
inline constexpr int32_t kStagePieces = kTilePieces * kSkinnyThreads;

struct SkinnyArgs {
  const Bf16Number* w;  // [swiglu ? 2 * outputs : outputs, columns]
  NormArgs norm;        // its x: [rows, columns]; without weight x is bf16 and taken as it is
  ProductOutput output;
  int32_t columns, rows, groups;
  int32_t rounds, slab_rounds;  // of all columns; of a slab, the part of x in shared memory
  bool swiglu;                  // a group is then 8 gates' rows and their 8 ups'
};

__device__ inline int32_t SlabEnd(const SkinnyArgs& args, int32_t slab_begin) {
  return min(slab_begin + args.slab_rounds, args.rounds);
}

// A place in the order of the work: slabs, in each of them the block's groups, in each the rounds.
struct SkinnyCursor {
  int32_t group = 0, round = 0, slab_begin = 0;

  __device__ void Advance(const SkinnyArgs& args) {
    if (++round != SlabEnd(args, slab_begin)) return;
    group += gridDim.y;
    if (group >= args.groups) {
      group = blockIdx.y;
      slab_begin += args.slab_rounds;
    }
    round = slab_begin;
  }
};

// With columns outside, 16 zeros.
__device__ inline void CopyAsync16(uint4* to, const Bf16Number* from, bool inside) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}

// Starts the copy of this lane's share of a tile, rows g and g + 8 of the group (g = lane / 4):
// columns 8t .. 8t + 7 and 32 + 8t .. 32 + 8t + 7 of the warp's chunk (t = lane % 4).
__device__ inline void StartTile(const SkinnyArgs& args, const SkinnyCursor& at, uint4* stage) {
  const int32_t lane = threadIdx.x % 32;
  const int32_t chunk = at.round * kRound + threadIdx.x / 32 * kChunk;
  if (at.round < args.rounds && chunk < args.columns) {
    const int32_t outputs = static_cast<int32_t>(args.output.outputs);
    const int32_t first = at.group * (args.swiglu ? kGroupRows / 2 : kGroupRows) + lane / 4;
    // Rows beyond the last are computed from the last one and not written.
    const int64_t low = min(first, outputs - 1);
    const int64_t high = args.swiglu ? low + outputs : min(first + 8, outputs - 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int32_t column = chunk + half * 32 + lane % 4 * 8;
      const bool inside = column < args.columns;
      const int32_t offset = inside ? column : 0;
      CopyAsync16(stage + (2 * half) * kSkinnyThreads, args.w + low * args.columns + offset,
                  inside);
      CopyAsync16(stage + (2 * half + 1) * kSkinnyThreads, args.w + high * args.columns + offset,
                  inside);
    }
  }
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// A lane's share of its warp's chunks, in the order of the work.
struct WeightStream {
  uint4* ring;  // shared memory: [kStages][kTilePieces] pieces, kSkinnyThreads apart
  SkinnyCursor ahead;
  uint32_t stage = 0;

  // The tile that follows the one before; valid until Refill.
  __device__ const uint4* Next() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 1) : "memory");
    return ring + stage * kStagePieces;
  }
  // Starts to copy one more tile, to where Next's was.
  __device__ void Refill(const SkinnyArgs& args) {
    StartTile(args, ahead, ring + stage * kStagePieces);
    ahead.Advance(args);
    stage = (stage + 1) % kStages;
  }
};

// sums [16, 8] += w [16, 16] x^T [16, 8]
__device__ inline void MultiplyAdd(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3, uint32_t x0,
                                   uint32_t x1, float (&sums)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(w0), "r"(w1), "r"(w2), "r"(w3), "r"(x0), "r"(x1));
}

// The 16 columns a lane of 4 lanes make 4 instructions of 16 columns: which columns one takes as
// its k is free as long as w and x agree. `x`: where this lane's columns of the slab begin, by row
// block.
template <int kBlocks>
__device__ inline void MultiplyTile(const uint4* stage, const char* const (&x)[kBlocks],
                                    int32_t x_offset, float (&sums)[kBlocks][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 low = stage[(2 * half) * kSkinnyThreads];
    const uint4 high = stage[(2 * half + 1) * kSkinnyThreads];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      const uint4 row = *reinterpret_cast<const uint4*>(x[b] + x_offset + half * 64);
      MultiplyAdd(low.x, high.x, low.y, high.y, row.x, row.y, sums[b]);
      MultiplyAdd(low.z, high.z, low.w, high.w, row.z, row.w, sums[b]);
    }
  }
}

// Of one group and slab, this warp's chunks.
template <int kBlocks>
__device__ inline void MultiplySlab(const SkinnyArgs& args, int32_t slab_begin,
                                    const char* const (&x)[kBlocks], WeightStream* weights,
                                    float (&sums)[kBlocks][4]) {
  const int32_t chunk = threadIdx.x / 32 * kChunk;
  for (int32_t round = slab_begin; round < SlabEnd(args, slab_begin); ++round) {
    const uint4* tile = weights->Next();
    if (round * kRound + chunk < args.columns) {
      MultiplyTile(tile, x, ((round - slab_begin) * kRound + chunk) * 2, sums);
    }
    weights->Refill(args);
  }
}

// Bytes between rows of a slab: 64 more than a multiple of 128, so that the 8 lanes that read
// together, from two rows, meet no bank twice.
__host__ __device__ inline int32_t SlabPitch(int32_t slab_rounds) {
  return slab_rounds * kRound * 2 + 64;
}

// Piece i of the slab, pieces being counted through the rows.
struct SlabPieces {
  int32_t first_column, row_pieces, count;
  float inverse;

  __device__ SlabPieces(const SkinnyArgs& args, int32_t slab_begin, int32_t rows)
      : first_column(slab_begin * kRound) {
    const int32_t end = min(SlabEnd(args, slab_begin) * kRound, args.columns);
    // Whole chunks: what lies beyond the last column is zero, as the weights there.
    row_pieces = (end - first_column + kChunk - 1) / kChunk * (kChunk / kPiece);
    count = rows * row_pieces;
    inverse = 1.0f / static_cast<float>(row_pieces);
  }
  // i / row_pieces. The half keeps the quotient 1 / 1024 away from whole numbers, and float
  // errs by 2^-19 at most: i < 16 * 512.
  __device__ int32_t Row(int32_t i) const {
    return static_cast<int32_t>((static_cast<float>(i) + 0.5f) * inverse);
  }
};

// x as it is. Eight pieces a thread are loaded before the first is stored.
__device__ inline void StageRows(const SkinnyArgs& args, const SlabPieces& pieces,
                                 int64_t first_row, int32_t pitch, char* slab) {
  constexpr int kInFlight = 8;
  const auto* x = static_cast<const Bf16Number*>(args.norm.x) + first_row * args.columns;
  for (int32_t base = threadIdx.x; base < pieces.count; base += kInFlight * kSkinnyThreads) {
    uint4 values[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int32_t i = base + j * kSkinnyThreads;
      const int32_t row = pieces.Row(i);
      const int32_t column = pieces.first_column + (i - row * pieces.row_pieces) * kPiece;
      values[j] = {};
      if (i < pieces.count && column < args.columns) {
        values[j] = *reinterpret_cast<const uint4*>(x + int64_t{row} * args.columns + column);
      }
    }
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int32_t i = base + j * kSkinnyThreads;
      const int32_t row = pieces.Row(i);
      if (i < pieces.count) {
        *reinterpret_cast<uint4*>(slab + row * pitch + (i - row * pieces.row_pieces) * 16) =
            values[j];
      }
    }
  }
}

// x through the norm; inverse_rms by row.
template <NormKind kKind>
__device__ inline void StageNormedRows(const SkinnyArgs& args, const SlabPieces& pieces,
                                       const float* inverse_rms, int32_t pitch, char* slab) {
#pragma unroll 2
  for (int32_t i = threadIdx.x; i < pieces.count; i += kSkinnyThreads) {
    const int32_t row = pieces.Row(i);
    const int32_t piece = i - row * pieces.row_pieces;
    const int32_t column = pieces.first_column + piece * kPiece;
    float values[kPiece] = {};
    if (column < args.columns) {
      LoadNormed<Bf16Number, kKind>(args.norm, row, column, inverse_rms[row], values);
    }
    StorePiece(reinterpret_cast<Bf16Number*>(slab + row * pitch + piece * 16), values);
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_CUH_
