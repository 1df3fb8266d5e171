// A session's memory while it is filled from outside: all or nothing.
//
// What: takes the room first, then the bytes, from another thread; Finish makes a session of it
//   that stands at the position. Until then nobody sees it.
// Thread safety: Write... from any one thread; the rest on the engine's.
// Ownership: owns the memory until Finish; borrows the pool.
// Preconditions: CHECKed; sizes are those of the pool's geometry.
#ifndef EIDETIC_MEMORY_SESSION_LOAD_H_
#define EIDETIC_MEMORY_SESSION_LOAD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/late_pages.h"
#include "memory/session_memory.h"

namespace eidetic::memory {

class SessionLoad {
 public:
  struct Shape {
    Position position = 0;
    // The index outside, and the one wanted here: if they differ it is built from the pages.
    SummaryKind stored = SummaryKind::kNone, wanted = SummaryKind::kNone;
    BlockIndex first_far = 0, last_far = 0;  // blocks that may stand on the host
    // They may come after Finish, too, unless the index is built from them; but for the first,
    // which stands in for others in steps that come to nothing.
    bool late = false;
  };
  // RESOURCE_EXHAUSTED: nothing was taken.
  static absl::StatusOr<std::unique_ptr<SessionLoad>> Begin(MemoryPool* pool, const Shape& shape);

  Position position() const { return position_; }
  const MemoryGeometry& geometry() const { return memory_->geometry(); }
  int64_t blocks() const;
  // In each layer; 0: the index is not taken from outside.
  int64_t tiles() const;
  void WritePage(int64_t layer, int64_t block, std::span<const std::byte> bytes);
  void WriteTile(int64_t layer, int64_t tile, std::span<const std::byte> bytes);
  void WriteState(std::span<const std::byte> bytes);

  // What is to be written after Finish; null: nothing.
  std::shared_ptr<LatePages> late() const { return late_; }
  bool IsLate(int64_t block) const {
    return late_ != nullptr && block >= late_->first() && block < late_->last();
  }

  // Everything was written but late pages.
  std::unique_ptr<SessionMemory> Finish();

 private:
  using Places = std::vector<std::vector<PageTable::Place>>;  // [layer][block or tile]

  SessionLoad(std::unique_ptr<SessionMemory> memory, const Shape& shape);
  void SetLate(BlockIndex first, BlockIndex last);
  static Places PlacesOf(const std::vector<PageTable>& tables);

  std::unique_ptr<SessionMemory> memory_;
  const bool index_stored_;
  const Position position_;
  const Places pages_, tiles_;
  void* const state_;
  std::shared_ptr<LatePages> late_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SESSION_LOAD_H_
