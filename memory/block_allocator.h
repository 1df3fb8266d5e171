// Hands out reference-counted page ids; knows nothing of what they name.
//
// Thread safety: none; the engine's thread owns it. Ownership: ids are plain
//   values; whoever took a reference gives it back. Preconditions: CHECKed.
// Worked example: capacity 3. Allocate(2) -> {0, 1}; AddReference(0);
//   Release(0) -> false (still held once); Release(0) -> true (free again).
#ifndef EIDETIC_MEMORY_BLOCK_ALLOCATOR_H_
#define EIDETIC_MEMORY_BLOCK_ALLOCATOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/ids.h"

namespace eidetic::memory {

class BlockAllocator {
 public:
  explicit BlockAllocator(int32_t capacity);

  // `count` ids, each with one reference; all or none (RESOURCE_EXHAUSTED).
  absl::StatusOr<std::vector<PageId>> Allocate(int32_t count);
  void AddReference(PageId id);
  // True when this was the last reference and the id is free again.
  bool Release(PageId id);

  int32_t references(PageId id) const;
  int32_t capacity() const { return static_cast<int32_t>(references_.size()); }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_count() const { return capacity() - free_count(); }

 private:
  std::vector<int32_t> references_;
  std::vector<PageId> free_;  // a stack: the page freed last is the warmest
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_BLOCK_ALLOCATOR_H_
