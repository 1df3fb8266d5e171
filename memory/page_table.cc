#include "memory/page_table.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace eidetic::memory {
namespace {

// A short session's table is allocated once.
constexpr int64_t kMinimumCapacity = 64;

}  // namespace

PageTable::PageTable(PageTable&& other)
    : arena_(other.arena_),
      store_(other.store_),
      ids_(std::exchange(other.ids_, {})),
      addresses_(std::exchange(other.addresses_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {}

PageTable::~PageTable() {
  Truncate(0);
  if (addresses_ != nullptr) arena_->Free(addresses_, capacity_ * sizeof(void*));
}

absl::Status PageTable::Reserve(int64_t count) {
  if (count <= capacity_) return absl::OkStatus();
  const int64_t grown = std::max({count, 2 * capacity_, kMinimumCapacity});
  absl::StatusOr<void*> fresh = arena_->Allocate(grown * sizeof(void*));
  if (!fresh.ok()) return fresh.status();
  if (addresses_ != nullptr) {
    arena_->Copy(*fresh, addresses_, ids_.size() * sizeof(void*));
    arena_->Free(addresses_, capacity_ * sizeof(void*));
  }
  addresses_ = static_cast<void**>(*fresh);
  capacity_ = grown;
  return absl::OkStatus();
}

void PageTable::Add(std::span<const PageId> pages) {
  if (pages.empty()) return;
  CHECK_LE(count() + static_cast<int64_t>(pages.size()), capacity_);
  std::vector<void*> addresses;
  for (PageId page : pages) addresses.push_back(store_->Address(page));
  arena_->CopyFromHost(addresses_ + count(), addresses.data(), addresses.size() * sizeof(void*));
  ids_.insert(ids_.end(), pages.begin(), pages.end());
}

void PageTable::Truncate(int64_t count) {
  while (this->count() > count) {
    store_->Release(ids_.back());
    ids_.pop_back();
  }
}

}  // namespace eidetic::memory
