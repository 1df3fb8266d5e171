// Pages of a woken session whose bytes are still to come.
//
// What: which distant pages are missing, the order in which they are read, and which have come.
//   Those that a step wanted are read first, then the rest, in the order in which they lie on the
//   disk. A step that wants a missing page comes to nothing, and is taken again.
// Thread safety: Next, Write and Landed from one thread, which reads; the rest, the destructor
//   too, on the engine's.
// Ownership: holds a reference to each page, so that none serves another before its bytes were
//   written; borrows the stores.
// Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_LATE_PAGES_H_
#define EIDETIC_MEMORY_LATE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memory/ids.h"
#include "memory/page_table.h"

namespace eidetic::memory {

class LatePages {
 public:
  struct Page {
    int32_t layer = 0;
    BlockIndex block = 0;
  };
  // `places`: [layer][block - first]; the same number in every layer.
  LatePages(std::vector<std::vector<PageTable::Place>> places, BlockIndex first);
  ~LatePages();
  LatePages(const LatePages&) = delete;
  LatePages& operator=(const LatePages&) = delete;

  BlockIndex first() const { return first_; }
  BlockIndex last() const { return last_; }  // exclusive

  // The page to read next, after those that were given before; none: all were given, or nobody
  // wants them any more.
  std::optional<Page> Next();
  void Write(const Page& page, std::span<const std::byte> bytes);
  // The page was written. Whether with it all have come that steps wanted and waited for.
  bool Landed(const Page& page);

  // A step wanted the page, which has not been taken as landed.
  void Want(const Page& page);
  // Those that have landed since the last call.
  std::vector<Page> TakeLanded();
  // Whether a page that a step wanted has not landed.
  bool wanted() const;
  // Nothing more is read.
  void Abandon();

 private:
  enum class State : uint8_t { kMissing, kGiven, kLanded };
  struct Entry {
    State state = State::kMissing;
    bool wanted = false;
  };
  size_t IndexOf(const Page& page) const;

  const std::vector<std::vector<PageTable::Place>> places_;
  const BlockIndex first_, last_;

  mutable absl::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // [layer][block - first]
  std::deque<Page> queue_ ABSL_GUARDED_BY(mutex_);      // wanted and missing
  int64_t waited_for_ ABSL_GUARDED_BY(mutex_) = 0;      // wanted and not landed
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;             // no entry before is missing
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Page> landed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_LATE_PAGES_H_
