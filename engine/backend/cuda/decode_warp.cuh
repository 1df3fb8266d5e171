// One warp's walk over the blocks of a decode row: 16 tokens at a time, all in registers.
//
// What: scores are K Q^T (16 tokens x 8 query heads), outputs V^T P (channels x 8 heads), so
//   that a KV head's group of query heads fills the narrow side of the matrix unit. Every
//   lane loads its pieces of K and V from the page directly: lane = 4 g + t holds
//     K  tokens g, g + 8; chunk pairs t, t + 4 (head_chunks.cuh)
//     V  tokens 2t, 2t + 1, 2t + 8, 2t + 9; chunks g, g + 8
//   The order in which channels meet in the product is arbitrary as long as K and Q agree.
// Thread safety: whole warps. Ownership: none. Preconditions: as decode_attention.h.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WARP_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WARP_CUH_

#include <cstdint>

#include "engine/backend/cuda/head_chunks.cuh"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/span_attention.cuh"
#include "engine/backend/cuda/warp_matrix.cuh"

namespace eidetic::cuda {

inline constexpr int32_t kDecodeWarps = 4;

// Bytes of a row of turns in shared memory. Two rows that are read together (tokens g and
// g + 1, 64 bytes each) must not share banks: hence an odd multiple of 64.
__host__ __device__ constexpr int32_t TurnRowBytes(int32_t half) {
  return (half * 8 + 127) / 128 * 128 + 64;
}

// Which blocks of its list a CTA attends to: [first, end), dealt out to its warps in turn.
struct PartBlocks {
  BlockList list;
  void* const* pages;
  int32_t first, end;
  int32_t own;         // the row's own block in the list
  int32_t own_base;    // and where it stands
  int32_t own_offset;  // of the row in its block
  int32_t kv_head;
};

// What the warps of a CTA share.
template <int kHeadDim>
struct DecodeShared {
  static constexpr int kSteps = kHeadDim / 16;  // of a product over the channels
  float4 query[kSteps][32];                     // by step and lane: two channels and their partners
  float4 turns[kDecodeWarps][kSteps][4];        // by step and t: of the block under way
  float out[kDecodeWarps][8][kHeadDim];         // by query head
  float2 sums[kDecodeWarps][8];                 // (maximum, sum)
  PartBlocks part;                              // here since registers are dear
  // then the turns by a token's offset: [block_size] rows of TurnRowBytes, in a row
  // [step of a pair: 4][pair] float4
};

template <int kHeadDim>
class DecodeWarp {
 public:
  static constexpr int kSlots = kHeadDim / 64, kSteps = kHeadDim / 16;

  __device__ DecodeWarp(const SpanArgs& args, DecodeShared<kHeadDim>* shared,
                        const std::byte* offset_turns)
      : args_(args),
        shared_(shared),
        offset_turns_(offset_turns),
        warp_(threadIdx.x / 32),
        g_(threadIdx.x % 32 / 4),
        t_(threadIdx.x % 4) {}

  // Attends to all of the warp's blocks and leaves the result in shared_->out and sums.
  __device__ void Run();
  // The first tile is under way to the registers when this returns.
  __device__ void Start();

 private:
  struct Cursor {
    const Bf16Number* keys;  // of the block; null: past the last
    int32_t at;              // the warp's at-th block
    int32_t tile;            // of 16 tokens, within the block
    int32_t limit;           // the block's last visible token
  };

  __device__ void Enter(int32_t at, Cursor* cursor);
  __device__ Cursor Next(const Cursor& now);
  __device__ void LoadKeys(const Cursor& cursor);
  __device__ void LoadValues(const Cursor& cursor);
  __device__ void TurnQuery();
  __device__ void TurnKeys(int32_t first_token);
  __device__ void Score(float (&scores)[4]);
  __device__ void Weigh(const Cursor& now, float (&scores)[4]);
  __device__ void AddValues(const float (&weights)[4]);
  __device__ void Publish();

  const SpanArgs& args_;
  DecodeShared<kHeadDim>* shared_;
  const std::byte* offset_turns_;
  const int32_t warp_, g_, t_;

  Cursor start_;
  void* lane_page_ = nullptr;       // of the warp's block at % 32 == lane
  int32_t lane_delta_ = 0;          // blocks from it to the row's own
  float2 turn_[kSlots];             // by the entered block's distance; pairs lane, lane + 32
  uint32_t keys_[kSlots][2][2][4];  // [slot][token g, g + 8][low, high chunk]
  uint32_t values_[kSlots][4][4];   // [half of 64 channels][token][pair of channels]
  uint32_t query_[kSteps][2];
  float out_[kSlots][4][4] = {};
  float maximum_[2] = {-INFINITY, -INFINITY}, sum_[2] = {};  // heads 2t, 2t + 1; sum: own tokens
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WARP_CUH_
