#include "memory/session_load.h"

#include <glog/logging.h>

#include <utility>

#include "absl/memory/memory.h"

namespace eidetic::memory {

absl::StatusOr<std::unique_ptr<SessionLoad>> SessionLoad::Begin(MemoryPool* pool,
                                                                const Shape& shape) {
  absl::StatusOr<std::unique_ptr<SessionMemory>> memory = SessionMemory::Create(pool, shape.wanted);
  if (!memory.ok()) return memory.status();
  const absl::Status status =
      (*memory)->ReserveSpread(shape.position, shape.first_far, shape.last_far);
  if (!status.ok()) return status;
  return absl::WrapUnique(new SessionLoad(*std::move(memory), shape));
}

SessionLoad::SessionLoad(std::unique_ptr<SessionMemory> memory, const Shape& shape)
    : memory_(std::move(memory)),
      index_stored_(shape.wanted == shape.stored),
      position_(shape.position),
      pages_(PlacesOf(memory_->pages_)),
      tiles_(PlacesOf(memory_->tiles_)),
      state_(memory_->pool_->slots().Address(memory_->current_)) {
  // The first is there: it stands in for others in steps that come to nothing.
  const BlockIndex first = shape.first_far + 1;
  const bool any = shape.last_far > first && !pages_.empty();
  if (shape.late && index_stored_ && any) SetLate(first, shape.last_far);
}

void SessionLoad::SetLate(BlockIndex first, BlockIndex last) {
  Places places;
  for (const std::vector<PageTable::Place>& layer : pages_) {
    places.emplace_back(layer.begin() + first, layer.begin() + last);
  }
  late_ = std::make_shared<LatePages>(std::move(places), first);
  for (PageTable& table : memory_->pages_) table.SetLate(first, last);
}

SessionLoad::Places SessionLoad::PlacesOf(const std::vector<PageTable>& tables) {
  Places places(tables.size());
  for (size_t layer = 0; layer < tables.size(); ++layer) {
    for (int64_t i = 0; i < tables[layer].count(); ++i) {
      places[layer].push_back(tables[layer].PlaceOf(i));
    }
  }
  return places;
}

int64_t SessionLoad::blocks() const { return memory_->BlocksFor(position_); }

int64_t SessionLoad::tiles() const { return index_stored_ ? memory_->TilesFor(blocks()) : 0; }

void SessionLoad::WritePage(int64_t layer, int64_t block, std::span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), geometry().layout.page_bytes());
  const PageTable::Place& place = pages_.at(layer).at(block);
  place.store->arena()->CopyFromHost(place.address, bytes.data(), bytes.size());
}

void SessionLoad::WriteTile(int64_t layer, int64_t tile, std::span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), geometry().layout.tile_bytes(memory_->summary()));
  const PageTable::Place& place = tiles_.at(layer).at(tile);
  place.store->arena()->CopyFromHost(place.address, bytes.data(), bytes.size());
}

void SessionLoad::WriteState(std::span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), geometry().state_bytes);
  memory_->pool_->arena()->CopyFromHost(state_, bytes.data(), bytes.size());
}

std::unique_ptr<SessionMemory> SessionLoad::Finish() {
  memory_->published_ = position_;
  memory_->late_ = late_;
  if (!index_stored_) memory_->BuildIndex();
  return std::move(memory_);
}

void SessionMemory::Want(int32_t layer, BlockIndex block) {
  CHECK(late()) << "block " << block << " has no page";
  missed_ = true;
  late_->Want({layer, block});
}

bool SessionMemory::TakeLanded() {
  missed_ = false;
  if (!late()) return true;
  for (const LatePages::Page& page : late_->TakeLanded()) pages_[page.layer].Land(page.block);
  for (PageTable& table : pages_) table.SendChanged();
  return !late_->wanted();
}

void SessionMemory::EndLate() {
  CHECK(late() && TakeLanded());
  late_.reset();
}

}  // namespace eidetic::memory
