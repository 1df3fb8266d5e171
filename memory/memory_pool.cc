// The stores that all sessions share.
#include <glog/logging.h>

#include <algorithm>
#include <limits>

#include "memory/session_memory.h"

namespace eidetic::memory {
namespace {

int32_t TileCapacity(const MemoryGeometry& geometry, const MemoryLimits& limits, bool has_host) {
  const int64_t partial = int64_t{geometry.attention_layers} * limits.max_state_slots;
  const int64_t pages = int64_t{limits.max_pages} + (has_host ? limits.max_host_pages : 0);
  const int64_t tiles = pages / kTileBlocks + partial;
  return static_cast<int32_t>(std::min<int64_t>(tiles, std::numeric_limits<int32_t>::max()));
}

// Large enough for every kind that a session may ask for.
size_t TileBytes(const MemoryGeometry& geometry) {
  return std::max(geometry.layout.tile_bytes(SummaryKind::kBounds),
                  geometry.layout.tile_bytes(geometry.bounding));
}

}  // namespace

MemoryPool::MemoryPool(Arena* arena, BlockIndexer* indexer, const MemoryGeometry& geometry,
                       const MemoryLimits& limits, Arena* host_arena)
    : arena_(arena),
      indexer_(indexer),
      geometry_(geometry),
      pages_(arena, geometry.layout.page_bytes(), limits.max_pages),
      tiles_(arena, TileBytes(geometry), TileCapacity(geometry, limits, host_arena != nullptr)),
      slots_(arena, geometry.state_bytes, limits.max_state_slots),
      points_(arena, host_arena, geometry.state_bytes, limits.points) {
  CHECK(geometry.layout.block_size > 0 && geometry.layout.block_size <= 256 &&
        geometry.layout.block_size % 16 == 0)
      << "block size " << geometry.layout.block_size;
  if (host_arena != nullptr && limits.max_host_pages > 0) {
    host_pages_ = std::make_unique<PageStore>(host_arena, geometry.layout.page_bytes(),
                                              limits.max_host_pages);
    promoted_ = std::make_unique<PromotedPages>(arena, &pages_, host_pages_.get(),
                                                limits.max_promoted_pages,
                                                limits.max_promoted_bytes_per_step);
  }
}

bool MemoryPool::TryMakeRoom(int64_t pages) {
  const int64_t given = promoted_ == nullptr ? 0 : promoted_->GiveBack(pages);
  if (given >= pages) return true;
  return (make_room_ && make_room_(pages - given)) || given > 0;
}

absl::StatusOr<SlotIndex> MemoryPool::AllocateSlot() {
  absl::StatusOr<SlotIndex> slot = slots_.Allocate();
  if (!absl::IsResourceExhausted(slot.status()) || !make_slot_ || !make_slot_()) return slot;
  return slots_.Allocate();
}

int64_t MemoryPool::span_bus_bytes() const {
  if (promoted_ == nullptr) return 0;
  const PromotionStats& stats = promoted_->stats();
  const int64_t read = stats.chosen - stats.chosen_on_device;
  const PageLayout& layout = geometry_.layout;
  return read * static_cast<int64_t>(layout.page_bytes()) / layout.kv_heads + stats.copied_bytes;
}

}  // namespace eidetic::memory
