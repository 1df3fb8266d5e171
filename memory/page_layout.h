// How large a page and an index tile are, and how they are laid out in host memory.
//
// Thread safety: plain values. Ownership: none. Preconditions: stated per member.
//
// A device's backend arranges its pages as suits it, within the same bytes. On the host:
//
// KV page, float32: for each KV head g
//     keys   [head_dim][block_size]   before RoPE, channel-major
//     values [block_size][head_dim]
//   all keys first, then all values.
// Index tile, for kTileBlocks consecutive blocks of one layer. Bounds, mean, pooled: bfloat16
//     [kv_head][vector v][head_dim][kTileBlocks]
//   Bounds have two vectors (v = 0 maximum, rounded up; v = 1 minimum, rounded down),
//   other summaries one, rounded to nearest. Bounds take 1/64 of float32 KV with 32-token
//   blocks: every decoded token reads all of them. Codes: [kv_head][kTileBlocks] of
//   code_bytes() each, about 1/7.5 of bfloat16 KV; only devices have them.
//
// Why channel-major: one SIMD lane is one token (or one block, in a tile), so
// every dot product is one chain of fused multiply-adds over the channels in
// ascending order. A bound and the scores under it are then computed by the
// same chain of monotone operations, and the computed bound is never below a
// computed score: the proof of a choice needs no error term.
#ifndef EIDETIC_MEMORY_PAGE_LAYOUT_H_
#define EIDETIC_MEMORY_PAGE_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "memory/bf16.h"
#include "memory/span_rules.h"

namespace eidetic::memory {

inline constexpr int32_t kTileBlocks = 16;

// Vectors of a block's summary in a tile; codes are laid out in another way.
constexpr int32_t SummaryVectors(SummaryKind kind) {
  if (kind == SummaryKind::kBounds) return 2;
  return kind == SummaryKind::kMean || kind == SummaryKind::kPooled ? 1 : 0;
}

struct PageLayout {
  int32_t block_size = 32;  // S; a multiple of 16, at most 256
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t element_bytes = 4;  // of a key's or value's channel; 4 on the host

  int64_t keys_per_head() const { return int64_t{head_dim} * block_size; }
  size_t page_bytes() const { return size_t{2} * element_bytes * kv_heads * keys_per_head(); }
  // [head_dim][block_size]
  float* Keys(void* page, int32_t kv_head) const {
    return static_cast<float*>(page) + kv_head * keys_per_head();
  }
  const float* Keys(const void* page, int32_t kv_head) const {
    return static_cast<const float*>(page) + kv_head * keys_per_head();
  }
  // [block_size][head_dim]
  float* Values(void* page, int32_t kv_head) const {
    return static_cast<float*>(page) + (kv_heads + kv_head) * keys_per_head();
  }
  const float* Values(const void* page, int32_t kv_head) const {
    return static_cast<const float*>(page) + (kv_heads + kv_head) * keys_per_head();
  }

  size_t tile_bytes(SummaryKind kind) const {
    if (kind == SummaryKind::kCodes) return size_t{kTileBlocks} * kv_heads * code_bytes();
    return sizeof(Bf16) * kv_heads * SummaryVectors(kind) * head_dim * kTileBlocks;
  }
  // One block of one KV head: 4 bits a channel (channels padded to a multiple of 16), a
  // bfloat16 scale a token, one float32 for the block; rounded up to 16.
  size_t code_bytes() const {
    const size_t channels = (static_cast<size_t>(head_dim) + 15) / 16 * 16;
    return (block_size * (channels / 2 + sizeof(Bf16)) + sizeof(float) + 15) / 16 * 16;
  }
  // Where in a tile, in elements, one summary vector of one KV head begins.
  int64_t SummaryOffset(int32_t kv_head, int32_t vector, int32_t vectors) const {
    return (int64_t{kv_head} * vectors + vector) * head_dim * kTileBlocks;
  }
  // [head_dim][kTileBlocks]
  Bf16* Summary(void* tile, int32_t kv_head, int32_t vector, int32_t vectors) const {
    return static_cast<Bf16*>(tile) + SummaryOffset(kv_head, vector, vectors);
  }
  const Bf16* Summary(const void* tile, int32_t kv_head, int32_t vector, int32_t vectors) const {
    return static_cast<const Bf16*>(tile) + SummaryOffset(kv_head, vector, vectors);
  }
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_PAGE_LAYOUT_H_
