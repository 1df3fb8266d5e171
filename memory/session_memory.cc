#include "memory/session_memory.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {

absl::Status SessionMemory::Extend(PageStore& store, int64_t count,
                                   std::vector<PageTable>& tables) {
  const int64_t layers = static_cast<int64_t>(tables.size());
  if (layers == 0) return absl::OkStatus();
  const int64_t more = count - tables.front().count();
  if (more <= 0) return absl::OkStatus();
  // Compared by division: the product of hostile sizes could overflow.
  if (more > store.free_count() / layers) {
    return absl::ResourceExhaustedError(absl::StrCat(
        more, " more pages in each of ", layers, " layers wanted, ", store.free_count(), " of ",
        store.capacity(), " free; end sessions, or raise the server's limit of pages"));
  }
  for (PageTable& table : tables) {
    if (absl::Status status = table.Reserve(count); !status.ok()) return status;
  }
  absl::StatusOr<std::vector<PageId>> fresh = store.Allocate(static_cast<int32_t>(more * layers));
  if (!fresh.ok()) return fresh.status();
  for (int64_t layer = 0; layer < layers; ++layer) {
    tables[layer].Add(std::span(*fresh).subspan(layer * more, more));
  }
  return absl::OkStatus();
}

SessionMemory::SessionMemory(MemoryPool* pool, SummaryKind summary)
    : pool_(pool), summary_(summary), points_(&pool->points()) {
  for (int32_t layer = 0; layer < pool->geometry().attention_layers; ++layer) {
    pages_.emplace_back(pool->arena(), &pool->pages(), pool->host_pages(), pool->promoted());
    tiles_.emplace_back(pool->arena(), &pool->tiles(), nullptr, nullptr);
  }
}

absl::StatusOr<std::unique_ptr<SessionMemory>> SessionMemory::Create(MemoryPool* pool,
                                                                     SummaryKind summary) {
  absl::StatusOr<SlotIndex> slot = pool->AllocateSlot();
  if (!slot.ok()) return slot.status();
  std::unique_ptr<SessionMemory> session(new SessionMemory(pool, summary));
  session->current_ = *slot;
  return session;
}

SessionMemory::~SessionMemory() {
  if (late()) late_->Abandon();
  if (working()) EndWork();
  GiveAside(0);
  pool_->slots().Release(current_);
}

int64_t SessionMemory::BlocksFor(Position end) const {
  return end <= 0 ? 0 : (end - 1) / pool_->geometry().layout.block_size + 1;
}

int64_t SessionMemory::TilesFor(int64_t blocks) const {
  if (summary_ == SummaryKind::kNone) return 0;
  return (blocks + kTileBlocks - 1) / kTileBlocks;
}

absl::StatusOr<std::unique_ptr<SessionMemory>> SessionMemory::Fork(SummaryKind summary) const {
  CHECK(!late());
  absl::StatusOr<std::unique_ptr<SessionMemory>> created = Create(pool_, summary);
  if (!created.ok()) return created.status();
  SessionMemory& child = **created;
  pool_->slots().Copy(child.current_, current_);
  child.published_ = published_;
  child.points_.Share(points_);
  child.blocks_ = BlocksFor(published_);
  const int64_t complete = published_ / pool_->geometry().layout.block_size;
  const int64_t copied = (child.blocks_ - complete) * static_cast<int64_t>(pages_.size());
  if (const int64_t more = copied - pool_->pages().free_count(); more > 0) {
    pool_->TryMakeRoom(more);  // should it fail, the copies say so
  }
  for (size_t layer = 0; layer < pages_.size(); ++layer) {
    absl::Status status = child.pages_[layer].Share(pages_[layer], complete, child.blocks_);
    if (status.ok() && summary == summary_) {
      status =
          child.tiles_[layer].Share(tiles_[layer], complete / kTileBlocks, TilesFor(child.blocks_));
    }
    if (!status.ok()) return status;
  }
  if (summary == summary_) return created;
  if (absl::Status status = Extend(pool_->tiles(), child.TilesFor(child.blocks_), child.tiles_);
      !status.ok()) {
    return status;
  }
  child.BuildIndex();
  return created;
}

absl::Status SessionMemory::Reserve(Position end) {
  const int64_t blocks = BlocksFor(end);
  if (blocks <= blocks_) return absl::OkStatus();
  absl::Status pages = Extend(pool_->pages(), blocks, pages_);
  if (absl::IsResourceExhausted(pages)) {
    const int64_t more = (blocks - blocks_) * static_cast<int64_t>(pages_.size());
    if (pool_->TryMakeRoom(more - pool_->pages().free_count())) {
      pages = Extend(pool_->pages(), blocks, pages_);
    }
  }
  if (!pages.ok()) return pages;
  if (absl::Status status = Extend(pool_->tiles(), TilesFor(blocks), tiles_); !status.ok()) {
    for (PageTable& table : pages_) table.Truncate(blocks_);
    return status;
  }
  blocks_ = blocks;
  return absl::OkStatus();
}

absl::Status SessionMemory::ReserveSpread(Position end, BlockIndex first, BlockIndex last) {
  CHECK_EQ(blocks_, 0);
  const absl::Status reserved = Reserve(end);
  const auto layers = static_cast<int64_t>(pages_.size());
  PageStore* const host = pool_->host_pages();
  if (reserved.ok() || host == nullptr || layers == 0) return reserved;
  const int64_t blocks = BlocksFor(end);
  const int64_t away = blocks - pool_->pages().free_count() / layers;
  if (away > last - first) return reserved;
  if (const int64_t more = away * layers - host->free_count(); more > 0) {
    pool_->TryMakeHostRoom(more);
  }
  if (away > host->free_count() / layers) return reserved;
  for (PageTable& table : pages_) {
    if (absl::Status status = table.Reserve(blocks); !status.ok()) return status;
  }
  if (absl::Status tiles = Extend(pool_->tiles(), TilesFor(blocks), tiles_); !tiles.ok()) {
    return tiles;
  }
  const auto near = pool_->pages().Allocate(static_cast<int32_t>((blocks - away) * layers));
  if (!near.ok()) return near.status();
  const auto far = host->Allocate(static_cast<int32_t>(away * layers));
  if (!far.ok()) {
    for (PageId page : *near) pool_->pages().Release(page);
    return far.status();
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    const auto on_device = std::span(*near).subspan(layer * (blocks - away), blocks - away);
    pages_[layer].Add(on_device.first(first));
    pages_[layer].Add(std::span(*far).subspan(layer * away, away), Tier::kHost);
    pages_[layer].Add(on_device.subspan(first));
  }
  blocks_ = blocks;
  return absl::OkStatus();
}

void SessionMemory::Trim(Position end) {
  CHECK_GE(end, published_);
  GiveAside(0);
  blocks_ = std::min(blocks_, BlocksFor(end));
  for (PageTable& table : pages_) table.Truncate(blocks_);
  for (PageTable& table : tiles_) table.Truncate(TilesFor(blocks_));
}

std::unique_ptr<SessionImage> SessionMemory::Image(int64_t first_block, int64_t first_tile) const {
  CHECK(!late());
  const MemoryGeometry& geometry = pool_->geometry();
  const int64_t complete = published_ / geometry.layout.block_size;
  const int64_t blocks = BlocksFor(published_);
  auto image = std::make_unique<SessionImage>(published_, summary_, pool_->promoted());
  for (const PageTable& table : pages_) {
    image->AddLayer(&image->pages_, table, {first_block, complete, blocks},
                    geometry.layout.page_bytes());
  }
  const int64_t tiles = TilesFor(blocks);  // 0 without a summary
  for (const PageTable& table : tiles_) {
    image->AddLayer(&image->tiles_, table,
                    {first_tile, std::min(complete / kTileBlocks, tiles), tiles},
                    geometry.layout.tile_bytes(summary_));
  }
  image->state_.resize(geometry.state_bytes);
  pool_->arena()->CopyToHost(image->state_.data(), state(), geometry.state_bytes);
  image->points_ = points_.Ready();
  return image;
}

absl::Status SessionMemory::Reindex(SummaryKind summary) {
  if (summary == summary_) return absl::OkStatus();
  for (PageTable& table : tiles_) table.Truncate(0);
  summary_ = summary;
  absl::Status status = Extend(pool_->tiles(), TilesFor(blocks_), tiles_);
  if (!status.ok()) {
    summary_ = SummaryKind::kNone;
    return status;
  }
  BuildIndex();
  return absl::OkStatus();
}

void SessionMemory::BuildIndex() {
  CHECK(!late());
  if (summary_ == SummaryKind::kNone) return;
  const PageLayout& layout = pool_->geometry().layout;
  const auto blocks = static_cast<BlockIndex>(published_ / layout.block_size);
  for (size_t layer = 0; layer < tiles_.size(); ++layer) {
    pool_->indexer()->Summarize(layout, summary_, pages_[layer].addresses(),
                                tiles_[layer].addresses(), blocks);
  }
}

absl::Status SessionMemory::BeginWork() {
  CHECK(!working()) << "work runs already";
  absl::StatusOr<SlotIndex> slot = pool_->AllocateSlot();
  if (!slot.ok()) return slot.status();
  next_ = *slot;
  return absl::OkStatus();
}

void SessionMemory::EndWork() {
  CHECK(working());
  pool_->slots().Release(next_);
  next_ = SlotIndex();
}

void SessionMemory::Publish(Position end) {
  CHECK(working() && !missed_) << "nothing to publish";
  CHECK_GE(end, published_);
  CHECK_LE(end, reserved());
  published_ = end;
  std::swap(current_, next_);
  if (keeps_points_) points_.Reached(end, state());
}

bool SessionMemory::Rewind(Position position) {
  CHECK(!working() && !late()) << "work runs";
  const StatePointPtr point = points_.Find(position);
  if (point == nullptr) return false;
  const int64_t complete = point->position / pool_->geometry().layout.block_size;
  const int64_t blocks = BlocksFor(point->position);
  for (PageTable& table : pages_) {
    if (blocks > complete && !table.MakeOwn(complete).ok()) return false;
  }
  const int64_t tiles = TilesFor(blocks);
  const bool partial_tile = tiles > complete / kTileBlocks;
  for (PageTable& table : tiles_) {
    if (partial_tile && !table.MakeOwn(tiles - 1).ok()) return false;
  }
  for (PageTable& table : pages_) table.Truncate(blocks);
  for (PageTable& table : tiles_) table.Truncate(tiles);
  blocks_ = blocks;
  published_ = point->position;
  pool_->points().Restore(*point, pool_->slots().Address(current_));
  points_.CutTo(published_);
  return true;
}

Position SessionMemory::reserved() const { return blocks_ * pool_->geometry().layout.block_size; }

const void* SessionMemory::state() const { return pool_->slots().Address(current_); }

void* SessionMemory::next_state() {
  CHECK(working());
  return pool_->slots().Address(next_);
}

bool SessionMemory::has_host_pages() const {
  return std::any_of(pages_.begin(), pages_.end(),
                     [](const PageTable& table) { return table.host_count() > 0; });
}

int64_t SessionMemory::host_page_count() const {
  int64_t pages = 0;
  for (const PageTable& table : pages_) pages += table.host_count();
  return pages;
}

int64_t SessionMemory::page_count() const { return blocks_ * static_cast<int64_t>(pages_.size()); }

int64_t SessionMemory::tile_count() const {
  return TilesFor(blocks_) * static_cast<int64_t>(tiles_.size());
}

}  // namespace eidetic::memory
