#include "memory/late_pages.h"

#include <glog/logging.h>

#include <utility>

namespace eidetic::memory {

LatePages::LatePages(std::vector<std::vector<PageTable::Place>> places, BlockIndex first)
    : places_(std::move(places)),
      first_(first),
      last_(first + static_cast<BlockIndex>(places_.empty() ? 0 : places_[0].size())),
      entries_(places_.size() * (last_ - first_)) {
  for (const auto& layer : places_) {
    CHECK_EQ(layer.size(), static_cast<size_t>(last_ - first_));
    for (const PageTable::Place& place : layer) place.store->AddReference(place.id);
  }
}

LatePages::~LatePages() {
  for (const auto& layer : places_) {
    for (const PageTable::Place& place : layer) place.store->Release(place.id);
  }
}

size_t LatePages::IndexOf(const Page& page) const {
  CHECK(page.layer >= 0 && static_cast<size_t>(page.layer) < places_.size() &&
        page.block >= first_ && page.block < last_)
      << "block " << page.block << " of layer " << page.layer << " is no late page";
  return static_cast<size_t>(page.layer) * (last_ - first_) + (page.block - first_);
}

std::optional<LatePages::Page> LatePages::Next() {
  absl::MutexLock lock(&mutex_);
  if (abandoned_) return std::nullopt;
  while (!queue_.empty()) {
    const Page page = queue_.front();
    queue_.pop_front();
    Entry& entry = entries_[IndexOf(page)];
    if (entry.state != State::kMissing) continue;
    entry.state = State::kGiven;
    return page;
  }
  while (next_ < entries_.size() && entries_[next_].state != State::kMissing) ++next_;
  if (next_ == entries_.size()) return std::nullopt;
  entries_[next_].state = State::kGiven;
  const auto blocks = static_cast<size_t>(last_ - first_);
  return Page{static_cast<int32_t>(next_ / blocks),
              first_ + static_cast<BlockIndex>(next_ % blocks)};
}

void LatePages::Write(const Page& page, std::span<const std::byte> bytes) {
  const PageTable::Place& place = places_.at(page.layer).at(page.block - first_);
  CHECK_EQ(bytes.size(), place.store->page_bytes());
  place.store->arena()->CopyFromHost(place.address, bytes.data(), bytes.size());
}

bool LatePages::Landed(const Page& page) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[IndexOf(page)];
  CHECK(entry.state == State::kGiven);
  entry.state = State::kLanded;
  landed_.push_back(page);
  return entry.wanted && --waited_for_ == 0;
}

void LatePages::Want(const Page& page) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[IndexOf(page)];
  if (entry.wanted || entry.state == State::kLanded) return;
  entry.wanted = true;
  ++waited_for_;
  if (entry.state == State::kMissing) queue_.push_back(page);
}

std::vector<LatePages::Page> LatePages::TakeLanded() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(landed_, {});
}

bool LatePages::wanted() const {
  absl::MutexLock lock(&mutex_);
  return waited_for_ > 0;
}

void LatePages::Abandon() {
  absl::MutexLock lock(&mutex_);
  abandoned_ = true;
}

}  // namespace eidetic::memory
