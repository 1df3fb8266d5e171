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
      device_(other.device_),
      host_(other.host_),
      copies_(other.copies_),
      addresses_(std::exchange(other.addresses_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {
  CHECK(other.pages_.empty());
}

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
    if (!pages_.empty()) arena_->Copy(*fresh, addresses_, pages_.size() * sizeof(void*));
    arena_->Free(addresses_, capacity_ * sizeof(void*));
  }
  addresses_ = static_cast<void**>(*fresh);
  capacity_ = grown;
  return absl::OkStatus();
}

void* PageTable::AddressOf(const Page& page) const {
  if (page.late) return nullptr;
  return page.copy != PageId() ? device_->Address(page.copy) : StoreOf(page.tier).Address(page.id);
}

void PageTable::SendAddresses(int64_t first, int64_t last) {
  if (first >= last) return;
  std::vector<void*> addresses;
  for (int64_t i = first; i < last; ++i) {
    addresses.push_back(AddressOf(pages_[i]));
  }
  arena_->CopyFromHost(addresses_ + first, addresses.data(), addresses.size() * sizeof(void*));
}

void PageTable::Add(std::span<const PageId> pages, Tier tier) {
  CHECK_LE(count() + static_cast<int64_t>(pages.size()), capacity_);
  const int64_t first = count();
  for (PageId page : pages) pages_.push_back({.tier = tier, .id = page, .copy = {}});
  if (tier == Tier::kHost) host_count_ += static_cast<int64_t>(pages.size());
  SendAddresses(first, count());
}

absl::Status PageTable::Share(const PageTable& from, int64_t shared, int64_t count) {
  CHECK_EQ(this->count(), 0);
  CHECK_LE(count, from.count());
  if (absl::Status status = Reserve(count); !status.ok()) return status;
  for (int64_t i = 0; i < count; ++i) {
    Page page = from.pages_[i];
    CHECK(!page.late);
    if (i < shared) {
      StoreOf(page.tier).AddReference(page.id);
    } else {
      CHECK(page.tier == Tier::kDevice) << "a block that is still written is on the host";
      absl::StatusOr<PageId> copy = device_->Clone(page.id);
      if (!copy.ok()) return copy.status();
      page.id = *copy;
    }
    page.copy = PageId();
    if (page.tier == Tier::kHost) {
      page.copy = copies_->Join(this, i, page.id);
      ++host_count_;
    }
    pages_.push_back(page);
  }
  SendAddresses(0, count);
  return absl::OkStatus();
}

void PageTable::Truncate(int64_t count) {
  while (this->count() > count) {
    const Page page = pages_.back();
    pages_.pop_back();
    if (page.tier == Tier::kHost) {
      copies_->Leave(this, this->count(), page.id);
      --host_count_;
    }
    StoreOf(page.tier).Release(page.id);
  }
}

absl::Status PageTable::MakeOwn(int64_t index) {
  CHECK(index >= 0 && index < count()) << "no block " << index;
  const Page page = pages_[index];
  CHECK(!page.late);
  if (page.tier == Tier::kDevice && device_->references(page.id) == 1) return absl::OkStatus();
  const auto fresh = device_->Allocate(1, PageStore::Fill::kAny);
  if (!fresh.ok()) return fresh.status();
  arena_->Copy(device_->Address(fresh->front()), StoreOf(page.tier).Address(page.id),
               device_->page_bytes());
  if (page.tier == Tier::kHost) {
    copies_->Leave(this, index, page.id);
    --host_count_;
  }
  StoreOf(page.tier).Release(page.id);
  pages_[index] = {.tier = Tier::kDevice, .id = fresh->front(), .copy = {}};
  SendAddresses(index, index + 1);
  return absl::OkStatus();
}

PageTable::Place PageTable::PlaceOf(int64_t index) const {
  CHECK(index >= 0 && index < count() && !pages_[index].late) << "no block " << index;
  PageStore& store = StoreOf(pages_[index].tier);
  return {&store, pages_[index].id, store.Address(pages_[index].id)};
}

PageId PageTable::host_page(int64_t index) const {
  CHECK(index >= 0 && index < count()) << "no block " << index;
  return pages_[index].tier == Tier::kHost ? pages_[index].id : PageId();
}

void PageTable::SetPromoted(int64_t index, PageId copy) {
  CHECK(host_page(index) != PageId()) << "block " << index << " is on the device";
  pages_[index].copy = copy;
  Changed(index);
}

void PageTable::SetLate(int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) pages_.at(i).late = true;
  SendAddresses(first, last);
}

void PageTable::Land(int64_t index) {
  CHECK(std::exchange(pages_.at(index).late, false));
  Changed(index);
}

void PageTable::Changed(int64_t index) {
  if (changed_first_ == changed_last_) changed_first_ = changed_last_ = index;
  changed_first_ = std::min(changed_first_, index);
  changed_last_ = std::max(changed_last_, index + 1);
}

void PageTable::SendChanged() {
  SendAddresses(changed_first_, changed_last_);
  changed_first_ = changed_last_ = 0;
}

int64_t PageTable::MoveToHost(int64_t first, int64_t last, bool spare_chosen) {
  if (host_ == nullptr) return 0;
  CHECK_LE(last, count());
  std::vector<int64_t> movable;
  for (int64_t i = first; i < last; ++i) {
    if (spare_chosen && std::exchange(pages_[i].chosen, false)) continue;
    if (CanMove(i)) movable.push_back(i);
  }
  if (movable.size() > static_cast<size_t>(host_->free_count())) {
    movable.resize(host_->free_count());
  }
  const absl::StatusOr<std::vector<PageId>> taken =
      host_->Allocate(static_cast<int32_t>(movable.size()));
  if (!taken.ok() || movable.empty()) return 0;
  for (size_t m = 0; m < movable.size(); ++m) {
    Page& page = pages_[movable[m]];
    arena_->Copy(host_->Address((*taken)[m]), device_->Address(page.id), device_->page_bytes());
    device_->Release(page.id);
    page = {.tier = Tier::kHost, .id = (*taken)[m], .copy = {}};
  }
  host_count_ += static_cast<int64_t>(movable.size());
  SendAddresses(movable.front(), movable.back() + 1);
  return static_cast<int64_t>(movable.size());
}

}  // namespace eidetic::memory
