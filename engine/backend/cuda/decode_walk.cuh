// DecodeWarp's walk: which block comes next, and its keys and values on their way.
//
// Thread safety: whole warps. Ownership: none. Preconditions: as decode_warp.cuh.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WALK_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WALK_CUH_

#include "engine/backend/cuda/decode_warp.cuh"

namespace eidetic::cuda {

__device__ inline void LoadPiece(uint32_t (&to)[4], const Bf16Number* from, bool visible) {
  const uint4 piece = visible ? __ldg(reinterpret_cast<const uint4*>(from)) : uint4{0, 0, 0, 0};
  to[0] = piece.x, to[1] = piece.y, to[2] = piece.z, to[3] = piece.w;
}

// Page addresses are looked up for 32 blocks at once, one a lane: two dependent reads that
// would otherwise stand before every block.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Enter(int32_t at, Cursor* cursor) {
  const PartBlocks& part = shared_->part;
  const int32_t first = part.first + warp_ + kDecodeWarps * at, lane = threadIdx.x % 32;
  if (first >= part.end) {
    cursor->keys = nullptr;
    return;
  }
  if (at % 32 == 0) {
    const int32_t n = first + kDecodeWarps * lane;
    if (n < part.end) {
      const int32_t block = part.list.Block(n);
      lane_page_ = part.pages[block];
      lane_delta_ = part.own_base - part.list.Base(n, block);
    }
  }
  const auto page = __shfl_sync(~0u, reinterpret_cast<unsigned long long>(lane_page_), at % 32);
  const int32_t delta = __shfl_sync(~0u, lane_delta_, at % 32);
  cursor->keys = args_.layout.Keys<Bf16Number>(reinterpret_cast<void*>(page), part.kv_head);
  cursor->at = at;
  cursor->tile = 0;
  cursor->limit = first == part.own ? part.own_offset : args_.layout.block_size - 1;
#pragma unroll
  for (int i = 0; i < kSlots; ++i) {
    const int32_t pair = lane + 32 * i, half = args_.rope.half;
    if (pair >= half) continue;
    float2 turn = args_.rope.low[int64_t{delta % kLowBlocks} * half + pair];
    if (delta >= kLowBlocks) {
      const float2 more = args_.rope.high[int64_t{delta / kLowBlocks} * half + pair];
      turn = {turn.x * more.x - turn.y * more.y, turn.x * more.y + turn.y * more.x};
    }
    turn_[i] = turn;
  }
}

template <int kHeadDim>
__device__ typename DecodeWarp<kHeadDim>::Cursor DecodeWarp<kHeadDim>::Next(const Cursor& now) {
  Cursor next = now;
  ++next.tile;
  if (next.tile * 16 > next.limit) Enter(now.at + 1, &next);
  return next;
}

// Tokens past the limit may never have been written: they become zeros.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::LoadKeys(const Cursor& cursor) {
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) {
    const ChunkPair pair = PairOfChunks<kHeadDim>(t_ + 4 * slot, args_.rope.half);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int32_t token = cursor.tile * 16 + g_ + 8 * r;
      const Bf16Number* row = cursor.keys + token * kHeadDim;
      LoadPiece(keys_[slot][r][0], row + pair.low * 8, token <= cursor.limit);
      LoadPiece(keys_[slot][r][1], row + pair.high * 8, token <= cursor.limit);
    }
  }
}

template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::LoadValues(const Cursor& cursor) {
  const Bf16Number* values =
      cursor.keys + int64_t{args_.layout.kv_heads} * args_.layout.block_size * kHeadDim;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int32_t token = cursor.tile * 16 + 2 * t_ + r % 2 + r / 2 * 8;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      LoadPiece(values_[slot][r], values + token * kHeadDim + (g_ + 8 * slot) * 8,
                token <= cursor.limit);
    }
  }
}

template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Start() {
  // Pairs that do not turn keep this.
  for (int32_t i = threadIdx.x % 32; i < kSteps * 4; i += 32) {
    shared_->turns[warp_][i / 4][i % 4] = {1.0f, 0.0f, 1.0f, 0.0f};
  }
  Enter(0, &start_);
  if (start_.keys == nullptr) return;
  LoadKeys(start_);
  LoadValues(start_);
}

// Keys are loaded again as soon as their scores are there, values as soon as they are added:
// half of a tile is always on its way, without a second set of registers.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Run() {
  Cursor now = start_;
  while (now.keys != nullptr) {
    if (now.tile == 0) TurnQuery();
    const Cursor next = Next(now);
    TurnKeys(now.tile * 16);
    float scores[4];
    Score(scores);
    if (next.keys != nullptr) LoadKeys(next);
    Weigh(now, scores);
    AddValues(scores);
    if (next.keys != nullptr) LoadValues(next);
    now = next;
  }
  Publish();
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DECODE_WALK_CUH_
