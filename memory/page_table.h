// One layer's pages of one session, as ids and as the addresses that kernels read.
//
// What: which page of which tier each block has, on the host; addresses in an array of the
//   arena's memory, which grows by doubling. A page is an address: kernels read a page in
//   pinned host memory in place, over the bus, or its copy on the device where there is one.
// Thread safety: none. Ownership: holds one reference to each page; Truncate(0) or the
//   destructor gives them back. Borrows stores and arena.
// Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_PAGE_TABLE_H_
#define EIDETIC_MEMORY_PAGE_TABLE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "memory/arena.h"
#include "memory/ids.h"
#include "memory/page_store.h"
#include "memory/promoted_pages.h"

namespace eidetic::memory {

enum class Tier : uint8_t {
  kDevice,  // the memory of the backend
  kHost,    // pinned memory of the host, which the device reads over the bus
};

class PageTable {
 public:
  // `host` and `copies`: null where there is one tier alone.
  PageTable(Arena* arena, PageStore* device, PageStore* host, PromotedPages* copies)
      : arena_(arena), device_(device), host_(host), copies_(copies) {}
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  // Precondition: `other` is empty: who knows a table knows it by its address.
  PageTable(PageTable&& other);

  // Makes room for `count` addresses. RESOURCE_EXHAUSTED leaves the table as it was.
  absl::Status Reserve(int64_t count);
  // Takes over one reference to each of `pages`, which have no copies. Precondition: room was
  // reserved.
  void Add(std::span<const PageId> pages, Tier tier = Tier::kDevice);
  // The first `shared` pages of `from` are added here too, the next up to `count` copied.
  absl::Status Share(const PageTable& from, int64_t shared, int64_t count);
  // Gives back all but the first `count` pages.
  void Truncate(int64_t count);
  // Whether MoveToHost would move it: it is on the device and nobody shares it.
  bool CanMove(int64_t index) const {
    return pages_[index].tier == Tier::kDevice && !pages_[index].late &&
           device_->references(pages_[index].id) == 1;
  }
  // Block `index`, which is written again, gets a page of the device that nobody shares.
  // RESOURCE_EXHAUSTED leaves the table as it was.
  absl::Status MakeOwn(int64_t index);
  // Moves pages [first, last) that are on the device and nobody shares to the host, as far as
  // it has room, in the order of the arena's operations. How many it moved. With `spare_chosen`
  // those that were chosen since they were spared last stay (CLOCK).
  int64_t MoveToHost(int64_t first, int64_t last, bool spare_chosen = false);
  // A step's span has block `index`.
  void Chosen(int64_t index) { pages_[index].chosen = true; }

  // For PromotedPages: the page of the host that block `index` has, or PageId(); whether its copy
  // is read instead; which copy is (PageId(): none), once SendChanged was called.
  PageId host_page(int64_t index) const;
  bool promoted(int64_t index) const { return pages_[index].copy != PageId(); }
  void SetPromoted(int64_t index, PageId copy);
  void SendChanged();

  // Pages [first, last) have no address until Land: their bytes are still to come.
  void SetLate(int64_t first, int64_t last);
  // They have come. SendChanged makes them seen.
  void Land(int64_t index);

  // Where block `index`, which is not late, has its bytes: never a copy.
  struct Place {
    PageStore* store;
    PageId id;
    void* address;
  };
  Place PlaceOf(int64_t index) const;

  int64_t host_count() const { return host_count_; }  // pages on the host
  int64_t count() const { return static_cast<int64_t>(pages_.size()); }
  // [count()], in the arena's memory; valid until the next Reserve or destruction. Null: late.
  void* const* addresses() const { return addresses_; }

 private:
  struct Page {
    Tier tier;
    PageId id;
    PageId copy;          // of a page on the host: read instead, where it is valid
    bool chosen = false;  // since MoveToHost spared it last
    bool late = false;    // nothing may read it yet
  };
  void* AddressOf(const Page& page) const;
  PageStore& StoreOf(Tier tier) const { return tier == Tier::kDevice ? *device_ : *host_; }
  void Changed(int64_t index);
  // Sends the addresses of pages [first, last) to the arena's memory.
  void SendAddresses(int64_t first, int64_t last);

  Arena* arena_;
  PageStore* device_;
  PageStore* host_;
  PromotedPages* copies_;
  std::vector<Page> pages_;
  int64_t host_count_ = 0;
  int64_t changed_first_ = 0, changed_last_ = 0;  // addresses that SendChanged sends
  void** addresses_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_PAGE_TABLE_H_
