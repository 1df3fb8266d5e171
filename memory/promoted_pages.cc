#include "memory/promoted_pages.h"

#include <glog/logging.h>

#include <algorithm>
#include <thread>

#include "memory/page_table.h"

namespace eidetic::memory {

PromotedPages::PromotedPages(Arena* arena, PageStore* device, PageStore* host, int32_t max_pages,
                             int64_t max_bytes)
    : arena_(arena), device_(device), host_(host), max_bytes_(max_bytes), policy_(max_pages) {}

PromotedPages::~PromotedPages() {
  LandAll();
  CHECK(copies_.empty()) << "a table outlives the pages that were promoted for it";
}

void PromotedPages::BetweenSteps(std::span<const ChosenBlocks> choices) {
  const std::vector<PageId> chosen = Count(choices);
  Land();
  const int64_t most = max_bytes_ / static_cast<int64_t>(device_->page_bytes()) - PagesUnderWay();
  const HotPages::Change change = policy_.Chosen(chosen, most, device_->free_count());
  Drop(change.dropped);
  Start(change.promoted);
  for (const ChosenBlocks& choice : choices) {
    for (BlockIndex block : choice.blocks) {
      const PageId page = choice.table->host_page(block);
      if (page == PageId() || choice.table->promoted(block)) continue;
      const PageId copy = Join(choice.table, block, page);
      if (copy == PageId()) continue;
      choice.table->SetPromoted(block, copy);
      changed_.insert(choice.table);
    }
  }
  SendChanged();
}

std::vector<PageId> PromotedPages::Count(std::span<const ChosenBlocks> choices) {
  std::vector<PageId> chosen;
  for (const ChosenBlocks& choice : choices) {
    stats_.chosen += static_cast<int64_t>(choice.blocks.size());
    for (BlockIndex block : choice.blocks) {
      const PageId page = choice.table->host_page(block);
      choice.table->Chosen(block);
      if (page == PageId() || choice.table->promoted(block)) ++stats_.chosen_on_device;
      if (page != PageId()) chosen.push_back(page);
    }
  }
  return chosen;
}

void PromotedPages::Start(std::span<const PageId> pages) {
  if (pages.empty()) return;
  const absl::StatusOr<std::vector<PageId>> taken =
      device_->Allocate(static_cast<int32_t>(pages.size()), PageStore::Fill::kAny);
  if (!taken.ok()) {  // the arena has less room than the store's limit says
    for (PageId page : pages) policy_.Remove(page);
    return;
  }
  std::vector<Arena::Transfer> transfers;
  for (size_t i = 0; i < pages.size(); ++i) {
    host_->AddReference(pages[i]);
    copies_[pages[i]] = {.device = (*taken)[i], .users = {}};
    transfers.push_back(
        {device_->Address((*taken)[i]), host_->Address(pages[i]), device_->page_bytes()});
  }
  under_way_.push_back({arena_->CopyBeside(transfers), {pages.begin(), pages.end()}});
  stats_.copied_bytes += static_cast<int64_t>(pages.size() * device_->page_bytes());
}

void PromotedPages::Land() {
  while (!under_way_.empty()) {
    const Arena::Progress progress = arena_->Poll(under_way_.front().ticket);
    if (progress == Arena::Progress::kRunning) break;
    Land(under_way_.front(), progress == Arena::Progress::kDone);
    under_way_.pop_front();
  }
  SendChanged();
}

void PromotedPages::Land(const Batch& batch, bool good) {
  for (PageId page : batch.pages) {
    const bool wanted = host_->references(page) > 1;
    if (!good || !wanted) {
      policy_.Remove(page);
      Free(page);
      continue;
    }
    policy_.Arrive(page);
    ++stats_.promoted;
    const Copy& copy = copies_.at(page);
    for (const User& user : copy.users) {
      user.table->SetPromoted(user.index, copy.device);
      changed_.insert(user.table);
    }
  }
}

void PromotedPages::LandAll() {
  for (Land(); !under_way_.empty(); Land()) std::this_thread::yield();
}

int64_t PromotedPages::GiveBack(int64_t count) {
  const int64_t before = device_->free_count();
  const auto given = [&] { return device_->free_count() - before; };
  Drop(policy_.TakeColdest(count));
  if (given() < count && !under_way_.empty()) {
    LandAll();
    Drop(policy_.TakeColdest(count - given()));
  }
  return given();
}

void PromotedPages::Drop(std::span<const PageId> pages) {
  for (PageId page : pages) {
    for (const User& user : copies_.at(page).users) {
      user.table->SetPromoted(user.index, PageId());
      changed_.insert(user.table);
    }
    Free(page);
    ++stats_.dropped;
  }
  SendChanged();
}

void PromotedPages::Free(PageId page) {
  const auto found = copies_.find(page);
  device_->Release(found->second.device);
  host_->Release(page);
  copies_.erase(found);
}

void PromotedPages::SendChanged() {
  for (PageTable* table : changed_) table->SendChanged();
  changed_.clear();
}

int64_t PromotedPages::PagesUnderWay() const {
  int64_t pages = 0;
  for (const Batch& batch : under_way_) pages += static_cast<int64_t>(batch.pages.size());
  return pages;
}

PageId PromotedPages::Join(PageTable* table, int64_t index, PageId page) {
  const auto found = copies_.find(page);
  if (found == copies_.end()) return PageId();
  Copy& copy = found->second;
  const User user{table, index};
  if (std::find(copy.users.begin(), copy.users.end(), user) == copy.users.end()) {
    copy.users.push_back(user);
  }
  return policy_.arrived(page) ? copy.device : PageId();
}

void PromotedPages::Leave(PageTable* table, int64_t index, PageId page) {
  const auto found = copies_.find(page);
  if (found == copies_.end()) return;
  std::erase(found->second.users, User{table, index});
  Leave(page);
}

void PromotedPages::Leave(PageId page) {
  if (!copies_.contains(page)) return;
  // Ours and the one that goes: nobody can choose the page any more.
  const bool last = host_->references(page) == 2;
  if (!last || !policy_.arrived(page)) return;
  policy_.Remove(page);
  Drop({&page, 1});
}

}  // namespace eidetic::memory
