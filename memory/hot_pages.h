// Which pages of the host also stand on the device: the policy alone.
//
// What: a set of bounded size. What a step chose comes in; what was chosen least recently goes.
//   A page is arriving until its copy has ended; only then may it go.
// Thread safety: none. Ownership: holds ids, no pages. Preconditions: CHECKed.
//
// Worked example, capacity 2, pages 1 and 2 arrived, 1 chosen last: Chosen({1, 3, 4}) drops 2
// and promotes 3; 4 must wait, since no page goes in the step that chose it.
#ifndef EIDETIC_MEMORY_HOT_PAGES_H_
#define EIDETIC_MEMORY_HOT_PAGES_H_

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "memory/ids.h"

namespace eidetic::memory {

class HotPages {
 public:
  // `capacity`: pages at once, arriving ones too; 0: none ever.
  explicit HotPages(int32_t capacity);

  struct Change {
    std::vector<PageId> dropped;   // are out
    std::vector<PageId> promoted;  // are in, and arriving
  };
  // A step chose `pages`, each perhaps several times. At most `most` of them come in, the first
  // ones first; without taking another's place at most `free`.
  Change Chosen(std::span<const PageId> pages, int64_t most, int64_t free);

  // The copy of an arriving page has ended.
  void Arrive(PageId page);
  // Takes out a page of either kind.
  void Remove(PageId page);
  // Takes out up to `count` arrived pages, those chosen least recently first.
  std::vector<PageId> TakeColdest(int64_t count);

  bool arrived(PageId page) const;
  int64_t size() const { return static_cast<int64_t>(pages_.size()); }

 private:
  struct Entry {
    int64_t chosen = 0;  // the step that chose it last
    bool arrived = false;
    std::list<PageId>::iterator place = {};  // in by_age_, once it has arrived
  };

  const int32_t capacity_;
  int64_t step_ = 0;
  absl::flat_hash_map<PageId, Entry> pages_;
  std::list<PageId> by_age_;  // the arrived ones, those chosen least recently first
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_HOT_PAGES_H_
