// Pages of one fixed size, by address, aligned to 64 bytes.
//
// What: PageId -> memory, from slabs that are taken from the arena as they are
//   needed. Serves KV pages and index tiles alike.
// Thread safety: none; the engine's thread owns it. A page's bytes may be read
//   and written by kernels while its id is held.
// Ownership: owns the slabs; borrows the arena. Preconditions: CHECKed.
// Invariant: a page is all zero when it is handed out, unless its taker asked otherwise.
#ifndef EIDETIC_MEMORY_PAGE_STORE_H_
#define EIDETIC_MEMORY_PAGE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/arena.h"
#include "memory/block_allocator.h"
#include "memory/ids.h"

namespace eidetic::memory {

class PageStore {
 public:
  PageStore(Arena* arena, size_t page_bytes, int32_t capacity);
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  enum class Fill : uint8_t {
    kZero,
    kAny,  // the taker writes every byte
  };
  // `count` pages, all or none: RESOURCE_EXHAUSTED when the capacity or the arena has no room.
  absl::StatusOr<std::vector<PageId>> Allocate(int32_t count, Fill fill = Fill::kZero);
  // A fresh page with the bytes of `page`.
  absl::StatusOr<PageId> Clone(PageId page);
  void AddReference(PageId page) { allocator_.AddReference(page); }
  void Release(PageId page) { allocator_.Release(page); }

  int32_t references(PageId page) const { return allocator_.references(page); }
  void* Address(PageId page) const;
  Arena* arena() const { return arena_; }
  size_t page_bytes() const { return page_bytes_; }
  int32_t capacity() const { return allocator_.capacity(); }
  int32_t used_count() const { return allocator_.used_count(); }
  int32_t free_count() const { return allocator_.free_count(); }

 private:
  absl::Status EnsureSlab(PageId page);
  size_t SlabBytes(size_t slab) const;

  Arena* arena_;
  size_t page_bytes_;
  size_t stride_;  // page_bytes_ rounded up, so that every page is aligned to 64
  int32_t pages_per_slab_;
  BlockAllocator allocator_;
  std::vector<void*> slabs_;  // slab i holds pages [i * pages_per_slab_, ...); null until needed
  std::vector<bool> dirty_;   // pages handed out before: zeroed when handed out again
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_PAGE_STORE_H_
