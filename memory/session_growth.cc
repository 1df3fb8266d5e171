// Sessions on two tiers: what moves to the host, and those larger than the device, which reserve
// all and take it as they grow.
#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "memory/session_memory.h"

namespace eidetic::memory {
namespace {

absl::Status WithDemand(const absl::Status& why, const SessionDemand& demand) {
  return absl::Status(why.code(), absl::StrCat("memory: the session wants ", demand.ToString(),
                                               "; ", why.message()));
}

}  // namespace

absl::Status MemoryPool::CheckDemand(const SessionDemand& demand) const {
  const int64_t device = pages_.capacity();
  const int64_t host = host_pages_ == nullptr ? 0 : host_pages_->capacity();
  const bool fits = demand.near_pages <= device && demand.tiles <= tiles_.capacity() &&
                    demand.distant_pages <= device - demand.near_pages + host &&
                    demand.state_slots <= slots_.capacity();
  if (fits) return absl::OkStatus();
  return WithDemand(absl::ResourceExhaustedError(absl::StrCat(
                        "the server has ", slots_.capacity(), " slots, ", device,
                        " pages on the device, ", tiles_.capacity(), " tiles and ", host,
                        " pages on the host in all; ask for less, or raise the server's limits")),
                    demand);
}

absl::Status SessionMemory::ReserveFor(const SpanSettings& settings, Position end,
                                       int32_t chunk_tokens) {
  const SessionDemand demand = DemandOf(geometry(), settings, end, chunk_tokens);
  absl::Status status = pool_->CheckDemand(demand);
  if (!status.ok()) return status;
  const bool fits = demand.near_pages + demand.distant_pages <= pool_->pages().capacity();
  if (fits) status = Reserve(end);
  if (!fits || (absl::IsResourceExhausted(status) && demand.distant_pages > 0)) {
    const int32_t block = geometry().layout.block_size;
    const Position near = block * NearBlocks(settings, block, chunk_tokens, BlocksFor(end));
    const Position chunk = published_ + chunk_tokens + block;
    status = ReserveGrowing(std::min(end, std::max(near, chunk)), end);
  }
  return status.ok() ? status : MarkShortage(WithDemand(status, demand));
}

absl::Status SessionMemory::ReserveGrowing(Position near_end, Position end) {
  PageStore* const host = pool_->host_pages();
  if (host == nullptr) {
    return absl::ResourceExhaustedError("the device's pages are taken; retry later");
  }
  const int64_t blocks_before = blocks_, tiles_before = tiles_.empty() ? 0 : tiles_[0].count();
  const auto layers = static_cast<int64_t>(pages_.size());
  const auto aside_before = static_cast<int64_t>(aside_.size());
  const int64_t blocks = BlocksFor(end);
  const int64_t away = (blocks - std::max(blocks_, BlocksFor(near_end))) * layers - aside_before;
  if (away > host->free_count()) pool_->TryMakeHostRoom(away - host->free_count());
  // What the host has no room for stays on the device.
  const int64_t most_away = (host->free_count() + aside_before) / layers;
  const int64_t block = geometry().layout.block_size;
  absl::Status status = Reserve(std::max(near_end, (blocks - most_away) * block));
  if (status.ok()) status = SetAside((blocks - blocks_) * layers);
  if (status.ok()) status = Extend(pool_->tiles(), TilesFor(blocks), tiles_);
  for (PageTable& table : pages_) {
    if (status.ok()) status = table.Reserve(blocks);
  }
  if (status.ok()) return status;
  for (PageTable& table : pages_) table.Truncate(blocks_before);
  for (PageTable& table : tiles_) table.Truncate(tiles_before);
  blocks_ = blocks_before;
  GiveAside(aside_before);
  return status;
}

absl::Status SessionMemory::SetAside(int64_t pages) {
  const int64_t more = pages - static_cast<int64_t>(aside_.size());
  if (more <= 0) return absl::OkStatus();
  const auto taken =
      pool_->host_pages()->Allocate(static_cast<int32_t>(more), PageStore::Fill::kAny);
  if (!taken.ok()) return taken.status();
  aside_.insert(aside_.end(), taken->begin(), taken->end());
  return absl::OkStatus();
}

void SessionMemory::GiveAside(int64_t kept) {
  for (; static_cast<int64_t>(aside_.size()) > kept; aside_.pop_back()) {
    pool_->host_pages()->Release(aside_.back());
  }
}

int64_t SessionMemory::MoveToHost(BlockIndex first, BlockIndex last, int64_t wanted) {
  // Few at a time: the layers' first blocks go before any layer's later ones.
  constexpr BlockIndex kStep = 64;
  CHECK_LE(int64_t{last} * geometry().layout.block_size, published_);
  int64_t moved = 0;
  for (const bool spare_chosen : {true, false}) {
    for (BlockIndex begin = first; begin < last && moved < wanted; begin += kStep) {
      const BlockIndex end = std::min(last, begin + kStep);
      for (PageTable& table : pages_) moved += table.MoveToHost(begin, end, spare_chosen);
    }
  }
  pool_->CountMoved(moved);
  return moved;
}

std::vector<BlockIndex> SessionMemory::Movable(BlockIndex first, BlockIndex last,
                                               int64_t pages) const {
  std::vector<BlockIndex> blocks;
  for (BlockIndex block = first; block < last && pages > 0; ++block) {
    int64_t movable = 0;
    for (const PageTable& table : pages_) movable += table.CanMove(block);
    if (movable > 0) blocks.push_back(block);
    pages -= movable;
  }
  return pages > 0 ? std::vector<BlockIndex>() : blocks;
}

bool SessionMemory::Grow(Position end, BlockIndex first, BlockIndex last) {
  const int64_t blocks = BlocksFor(end);
  if (blocks <= blocks_) return true;
  const int64_t wanted = (blocks - blocks_) * static_cast<int64_t>(pages_.size());
  const int64_t kept = static_cast<int64_t>(aside_.size()) - wanted;
  CHECK_GE(kept, 0) << "more than was reserved";
  const int64_t missing = wanted - pool_->pages().free_count();
  if (missing > 0) {
    std::vector<BlockIndex> move = Movable(std::max(first, grown_to_), last, missing);
    if (move.empty()) move = Movable(first, last, missing);  // who shared some may be gone
    if (move.empty()) return false;
    GiveAside(kept);
    for (BlockIndex block : move) {
      for (PageTable& table : pages_) pool_->CountMoved(table.MoveToHost(block, block + 1));
    }
    grown_to_ = move.back() + 1;
  }
  const absl::Status taken = Extend(pool_->pages(), blocks, pages_);
  CHECK(taken.ok()) << taken;  // room for the addresses was reserved, and the pages are free
  blocks_ = blocks;
  GiveAside(kept);
  return true;
}

}  // namespace eidetic::memory
