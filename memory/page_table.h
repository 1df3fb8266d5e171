// One layer's pages of one session, as ids and as the addresses that kernels read.
//
// What: ids on the host; addresses in an array of the arena's memory, which grows by doubling.
// Thread safety: none. Ownership: holds one reference to each page; Truncate(0) or the
//   destructor gives them back. Borrows store and arena.
// Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_PAGE_TABLE_H_
#define EIDETIC_MEMORY_PAGE_TABLE_H_

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "memory/arena.h"
#include "memory/page_store.h"

namespace eidetic::memory {

class PageTable {
 public:
  PageTable(Arena* arena, PageStore* store) : arena_(arena), store_(store) {}
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  PageTable(PageTable&& other);

  // Makes room for `count` addresses. RESOURCE_EXHAUSTED leaves the table as it was.
  absl::Status Reserve(int64_t count);
  // Takes over one reference to each of `pages`. Precondition: room was reserved.
  void Add(std::span<const PageId> pages);
  // Gives back all but the first `count` pages.
  void Truncate(int64_t count);

  int64_t count() const { return static_cast<int64_t>(ids_.size()); }
  const std::vector<PageId>& ids() const { return ids_; }
  // [count()], in the arena's memory; valid until the next Reserve or destruction.
  void* const* addresses() const { return addresses_; }

 private:
  Arena* arena_;
  PageStore* store_;
  std::vector<PageId> ids_;
  void** addresses_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_PAGE_TABLE_H_
