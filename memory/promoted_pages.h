// Copies, on the device, of pages of the host that retrieval chose.
//
// What: moves what HotPages decides. A copy runs beside the steps; the page tables name it once
//   it has ended, and the host's page stays, so that giving a copy up moves nothing. Sessions
//   that share a page of the host share its copy.
// Thread safety: none; nothing here may be called while a step runs, since kernels read the
//   tables that it changes. Ownership: holds a reference to each page of the host that it copied,
//   and the device's page; borrows arena and stores.
// Preconditions: every table that it knows goes before it does (CHECKed).
#ifndef EIDETIC_MEMORY_PROMOTED_PAGES_H_
#define EIDETIC_MEMORY_PROMOTED_PAGES_H_

#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "memory/arena.h"
#include "memory/hot_pages.h"
#include "memory/ids.h"
#include "memory/page_store.h"

namespace eidetic::memory {

class PageTable;

// What the KV heads of one layer chose of one session in a step: a block stands here as often
// as heads chose it.
struct ChosenBlocks {
  PageTable* table = nullptr;
  std::vector<BlockIndex> blocks;
};

// Counters, since the pool's beginning.
struct PromotionStats {
  int64_t chosen = 0;            // blocks in choices
  int64_t chosen_on_device = 0;  // those of them that were read on the device
  int64_t promoted = 0;          // pages whose copy came into use
  int64_t dropped = 0;           // pages whose copy was given up
  int64_t copied_bytes = 0;      // to the device
};

class PromotedPages {
 public:
  // `max_bytes`: copied in one step, and under way at once.
  PromotedPages(Arena* arena, PageStore* device, PageStore* host, int32_t max_pages,
                int64_t max_bytes);
  // Waits for copies under way.
  ~PromotedPages();
  PromotedPages(const PromotedPages&) = delete;
  PromotedPages& operator=(const PromotedPages&) = delete;

  // After a step that made `choices`, and before the next one: copies that have ended come into
  // use, others start. Takes pages of the device that are free, or its own.
  void BetweenSteps(std::span<const ChosenBlocks> choices);
  // Makes pages of the device free until `count` are or it has none left: how many. Waits for
  // copies under way if it must; never more than `max_bytes` are.
  int64_t GiveBack(int64_t count);

  // `table` holds `page` of the host at `index`, and wants to hear of its copy. The copy, where
  // it is there already; else PageId().
  PageId Join(PageTable* table, int64_t index, PageId page);
  // `table` is about to release `page`.
  void Leave(PageTable* table, int64_t index, PageId page);
  // Who is no table is about to release `page`.
  void Leave(PageId page);

  const PageStore* host() const { return host_; }
  int64_t size() const { return static_cast<int64_t>(copies_.size()); }  // pages of the device
  const PromotionStats& stats() const { return stats_; }

 private:
  struct User {
    PageTable* table;
    int64_t index;
    bool operator==(const User&) const = default;
  };
  struct Copy {
    PageId device;
    std::vector<User> users;  // they name the copy, once it is there
  };
  struct Batch {
    Arena::Ticket ticket;
    std::vector<PageId> pages;
  };

  // The pages of the host among `choices`, counted.
  std::vector<PageId> Count(std::span<const ChosenBlocks> choices);
  void Start(std::span<const PageId> pages);
  // Brings copies that have ended into use.
  void Land();
  void Land(const Batch& batch, bool good);
  void LandAll();
  void Drop(std::span<const PageId> pages);
  // Frees a copy that the policy knows no more and nobody uses.
  void Free(PageId page);
  void SendChanged();
  int64_t PagesUnderWay() const;

  Arena* arena_;
  PageStore* device_;
  PageStore* host_;
  const int64_t max_bytes_;
  HotPages policy_;
  absl::flat_hash_map<PageId, Copy> copies_;  // by page of the host
  std::deque<Batch> under_way_;
  std::set<PageTable*> changed_;  // within one call: addresses still to be sent
  PromotionStats stats_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_PROMOTED_PAGES_H_
