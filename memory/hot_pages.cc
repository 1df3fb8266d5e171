#include "memory/hot_pages.h"

#include <glog/logging.h>

#include <iterator>

namespace eidetic::memory {

HotPages::HotPages(int32_t capacity) : capacity_(capacity) { CHECK_GE(capacity, 0); }

HotPages::Change HotPages::Chosen(std::span<const PageId> pages, int64_t most, int64_t free) {
  ++step_;
  std::vector<PageId> missing;
  for (PageId page : pages) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) {
      missing.push_back(page);
    } else if (found->second.chosen != step_) {
      Entry& entry = found->second;
      entry.chosen = step_;
      if (entry.arrived) by_age_.splice(by_age_.end(), by_age_, entry.place);
    }
  }
  Change change;
  for (PageId page : missing) {
    if (static_cast<int64_t>(change.promoted.size()) >= most) break;
    if (pages_.contains(page)) continue;  // it came twice
    if (size() >= capacity_ || free <= 0) {
      if (by_age_.empty() || pages_.at(by_age_.front()).chosen == step_) break;
      change.dropped.push_back(TakeColdest(1).front());
      ++free;
    }
    --free;
    pages_[page].chosen = step_;
    change.promoted.push_back(page);
  }
  return change;
}

void HotPages::Arrive(PageId page) {
  Entry& entry = pages_.at(page);
  CHECK(!entry.arrived);
  entry.arrived = true;
  auto place = by_age_.end();
  while (place != by_age_.begin() && pages_.at(*std::prev(place)).chosen > entry.chosen) --place;
  entry.place = by_age_.insert(place, page);
}

void HotPages::Remove(PageId page) {
  const auto found = pages_.find(page);
  CHECK(found != pages_.end());
  if (found->second.arrived) by_age_.erase(found->second.place);
  pages_.erase(found);
}

std::vector<PageId> HotPages::TakeColdest(int64_t count) {
  std::vector<PageId> taken;
  while (static_cast<int64_t>(taken.size()) < count && !by_age_.empty()) {
    taken.push_back(by_age_.front());
    Remove(taken.back());
  }
  return taken;
}

bool HotPages::arrived(PageId page) const {
  const auto found = pages_.find(page);
  return found != pages_.end() && found->second.arrived;
}

}  // namespace eidetic::memory
