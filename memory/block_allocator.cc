#include "memory/block_allocator.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {

BlockAllocator::BlockAllocator(int32_t capacity) {
  CHECK_GE(capacity, 0);
  references_.resize(capacity, 0);
  free_.reserve(capacity);
  for (int32_t id = capacity - 1; id >= 0; --id) free_.push_back(PageId(id));
}

absl::StatusOr<std::vector<PageId>> BlockAllocator::Allocate(int32_t count) {
  CHECK_GE(count, 0);
  if (count > free_count()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(count, " wanted, ", free_count(), " of ", capacity(), " free"));
  }
  std::vector<PageId> ids(free_.rbegin(), free_.rbegin() + count);
  free_.erase(free_.end() - count, free_.end());
  for (PageId id : ids) references_[id.value()] = 1;
  return ids;
}

void BlockAllocator::AddReference(PageId id) {
  CHECK_GT(references(id), 0) << "page " << id.value() << " is free";
  ++references_[id.value()];
}

bool BlockAllocator::Release(PageId id) {
  CHECK_GT(references(id), 0) << "page " << id.value() << " is free already";
  if (--references_[id.value()] > 0) return false;
  free_.push_back(id);
  return true;
}

int32_t BlockAllocator::references(PageId id) const {
  CHECK(id.value() >= 0 && id.value() < capacity()) << "no page " << id.value();
  return references_[id.value()];
}

}  // namespace eidetic::memory
