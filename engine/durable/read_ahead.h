// A walk over extents that lets the system fetch what comes next while one is read.
//
// What: takes items from a source a few megabytes before they are wanted, and tells the store that
//   their extents will be read. So the disk has many reads to do at once, in whatever order they
//   are wanted, though one thread reads.
// Thread safety: none. Ownership: borrows the store, and what the functions name.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_DURABLE_READ_AHEAD_H_
#define EIDETIC_ENGINE_DURABLE_READ_AHEAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "memory/durable/extent_store.h"

namespace eidetic {

template <typename Item>
class ReadAhead {
 public:
  // Two milliseconds of a disk that reads 2 GB/s: longer than one of its reads takes.
  static constexpr int64_t kBytes = int64_t{4} << 20;

  // `next`: the item after the last one, none at the end. `ref_of`: where it stands.
  ReadAhead(const memory::ExtentStore* store, std::function<std::optional<Item>()> next,
            std::function<const memory::ExtentRef&(const Item&)> ref_of)
      : store_(store), next_(std::move(next)), ref_of_(std::move(ref_of)) {}

  // The item to read now; none: the source has ended.
  std::optional<Item> Take() {
    while (bytes_ < kBytes) {
      std::optional<Item> item = next_();
      if (!item) break;
      const memory::ExtentRef& ref = ref_of_(*item);
      store_->WillRead(ref);
      bytes_ += ref.bytes;
      coming_.push_back(*item);
    }
    if (coming_.empty()) return std::nullopt;
    const Item item = coming_.front();
    coming_.pop_front();
    bytes_ -= ref_of_(item).bytes;
    return item;
  }

 private:
  const memory::ExtentStore* const store_;
  const std::function<std::optional<Item>()> next_;
  const std::function<const memory::ExtentRef&(const Item&)> ref_of_;
  std::deque<Item> coming_;
  int64_t bytes_ = 0;  // of them
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_READ_AHEAD_H_
