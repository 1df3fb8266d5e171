// State slots: one session's SSM and convolution states for all Mamba layers.
//
// Thread safety: none; the engine's thread owns it. Ownership: owns the memory,
//   borrows the arena. Preconditions: CHECKed.
// Invariant: a slot is all zero when it is handed out.
#ifndef EIDETIC_MEMORY_STATE_STORE_H_
#define EIDETIC_MEMORY_STATE_STORE_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "memory/ids.h"
#include "memory/page_store.h"

namespace eidetic::memory {

class StateStore {
 public:
  StateStore(Arena* arena, size_t slot_bytes, int32_t capacity);

  // RESOURCE_EXHAUSTED when every slot is taken.
  absl::StatusOr<SlotIndex> Allocate();
  void Release(SlotIndex slot);
  void Copy(SlotIndex to, SlotIndex from);

  void* Address(SlotIndex slot) const;
  size_t slot_bytes() const { return slots_.page_bytes(); }
  int32_t capacity() const { return slots_.capacity(); }
  int32_t used_count() const { return slots_.used_count(); }

 private:
  Arena* arena_;
  PageStore slots_;  // a slot is a page that is never shared
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_STATE_STORE_H_
