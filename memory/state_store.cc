#include "memory/state_store.h"

namespace eidetic::memory {

StateStore::StateStore(Arena* arena, size_t slot_bytes, int32_t capacity)
    : arena_(arena), slots_(arena, slot_bytes, capacity) {}

absl::StatusOr<SlotIndex> StateStore::Allocate() {
  absl::StatusOr<std::vector<PageId>> page = slots_.Allocate(1);
  if (!page.ok()) return page.status();
  return SlotIndex(page->front().value());
}

void StateStore::Release(SlotIndex slot) { slots_.Release(PageId(slot.value())); }

void StateStore::Copy(SlotIndex to, SlotIndex from) {
  arena_->Copy(Address(to), Address(from), slot_bytes());
}

void* StateStore::Address(SlotIndex slot) const { return slots_.Address(PageId(slot.value())); }

}  // namespace eidetic::memory
