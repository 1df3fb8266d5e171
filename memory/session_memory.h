// What the model remembers of one session: pages, index tiles, state.
//
// What: page and tile tables per attention layer, the published state slot and,
//   while work runs, a second slot that a step writes. Publish() swaps the two
//   after the step has finished, so an abandoned step leaves no trace.
// Thread safety: none; the engine's thread owns it. Kernels read the tables
//   while a step runs; nothing here may be called during that time.
// Ownership: holds references to its pages, tiles and slots and gives them back
//   when destroyed; borrows the pool, which must outlive it.
// Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_SESSION_MEMORY_H_
#define EIDETIC_MEMORY_SESSION_MEMORY_H_

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/block_indexer.h"
#include "memory/ids.h"
#include "memory/late_pages.h"
#include "memory/page_layout.h"
#include "memory/page_store.h"
#include "memory/page_table.h"
#include "memory/promoted_pages.h"
#include "memory/session_demand.h"
#include "memory/session_image.h"
#include "memory/span_settings.h"
#include "memory/state_points.h"
#include "memory/state_store.h"

namespace eidetic::memory {

struct MemoryGeometry {
  PageLayout layout;
  int32_t attention_layers = 0;
  size_t state_bytes = 0;                       // one state slot
  SummaryKind bounding = SummaryKind::kBounds;  // what the two-stage rule's index holds
};

struct MemoryLimits {
  int32_t max_pages = 1 << 16;  // KV pages, all attention layers together
  int32_t max_host_pages = 0;   // more of them in pinned host memory, for distant blocks
  // Of max_pages, those that may hold copies of pages of the host; 0: none are made.
  int32_t max_promoted_pages = 1 << 12;
  int64_t max_promoted_bytes_per_step = 8 << 20;  // copied between two steps
  int32_t max_state_slots = 512;
  StatePointLimits points = {};
};

// The stores that all sessions of one model share.
class MemoryPool {
 public:
  // Tiles are sized for the largest summary and there are enough of
  // them to index every page, with one partial tile per layer and state slot.
  // `host_arena`: memory that the device reads in place; null where there is none.
  MemoryPool(Arena* arena, BlockIndexer* indexer, const MemoryGeometry& geometry,
             const MemoryLimits& limits, Arena* host_arena = nullptr);

  const MemoryGeometry& geometry() const { return geometry_; }
  Arena* arena() { return arena_; }
  BlockIndexer* indexer() { return indexer_; }
  PageStore& pages() { return pages_; }
  PageStore* host_pages() { return host_pages_.get(); }  // null: there is one tier alone
  PageStore& tiles() { return tiles_; }
  StateStore& slots() { return slots_; }
  StatePointStore& points() { return points_; }

  // After each step that made `choices`, before the next one, and now and then without steps:
  // what was chosen on the host and is hot comes to the device.
  void BetweenSteps(std::span<const ChosenBlocks> choices) {
    if (promoted_ != nullptr) promoted_->BetweenSteps(choices);
    points_.Poll();
  }
  PromotedPages* promoted() { return promoted_.get(); }  // null: there is one tier alone
  // What chosen blocks and copies took over the bus since the pool's beginning, by formula: a
  // KV head reads its part of a page. Pages that were read to choose do not count.
  int64_t span_bus_bytes() const;
  // Pages that were moved to the host since then.
  int64_t moved_pages() const { return moved_pages_; }
  void CountMoved(int64_t pages) { moved_pages_ += pages; }

  // Called when `pages` more pages are wanted on the device than are free: moves others to the
  // host. Whether it moved any.
  using MakeRoom = std::function<bool(int64_t pages)>;
  void set_make_room(MakeRoom make_room) { make_room_ = std::move(make_room); }
  // Copies of pages of the host go first. Whether any page came free.
  bool TryMakeRoom(int64_t pages);

  // The same for pages of the host, which only sessions that go to the disk give back.
  void set_make_host_room(MakeRoom make_room) { make_host_room_ = std::move(make_room); }
  bool TryMakeHostRoom(int64_t pages) { return make_host_room_ && make_host_room_(pages); }

  // RESOURCE_EXHAUSTED, with the numbers, when even an empty server could not hold it.
  absl::Status CheckDemand(const SessionDemand& demand) const;

  // Called when a state slot is wanted and none is free: gives one back. Whether it did.
  void set_make_slot(std::function<bool()> make_slot) { make_slot_ = std::move(make_slot); }
  // RESOURCE_EXHAUSTED when every slot is taken and stays so.
  absl::StatusOr<SlotIndex> AllocateSlot();

 private:
  Arena* arena_;
  BlockIndexer* indexer_;
  MemoryGeometry geometry_;
  PageStore pages_;
  std::unique_ptr<PageStore> host_pages_;
  std::unique_ptr<PromotedPages> promoted_;
  PageStore tiles_;
  StateStore slots_;
  StatePointStore points_;
  MakeRoom make_room_, make_host_room_;
  std::function<bool()> make_slot_;
  int64_t moved_pages_ = 0;
};

class SessionMemory {
 public:
  // An empty session with one zeroed state slot.
  static absl::StatusOr<std::unique_ptr<SessionMemory>> Create(MemoryPool* pool,
                                                               SummaryKind summary);
  ~SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // A session with the same published past. Complete blocks are shared (they
  // never change); the partial block and tile and the state are copied. With
  // another `summary` the index is built anew from the pages.
  absl::StatusOr<std::unique_ptr<SessionMemory>> Fork(SummaryKind summary) const;

  // Makes room for positions [0, end); all or nothing, RESOURCE_EXHAUSTED
  // leaves the session as it was. Never gives room back.
  absl::Status Reserve(Position end);
  // Admission: all that a session of `settings` that comes to stand at `end` takes, but for a
  // second state slot, so that it never waits for another that grows as well. What the device has
  // no room for, and chunks reach through retrieval alone, gets a page of the host now and a page
  // of the device by Grow. All or nothing. RESOURCE_EXHAUSTED with the demand's numbers: a
  // shortage (IsShortage) passes when others end, else it never fits.
  absl::Status ReserveFor(const SpanSettings& settings, Position end, int32_t chunk_tokens);
  // Room for positions [0, end), which were reserved: the chunk that ends there is next, and
  // [first, last) are distant from it. False, changing nothing, while others share what would
  // have to move: forks, and checkpoints that are being written.
  bool Grow(Position end, BlockIndex first, BlockIndex last);
  // Whether pages stand aside for it to grow: then its own are not to be moved for others.
  bool growing() const { return !aside_.empty(); }
  // As Reserve, for an empty session: where the device has no room, blocks [first, last) come to
  // stand on the host, the first ones first.
  absl::Status ReserveSpread(Position end, BlockIndex first, BlockIndex last);
  // Gives back what was reserved, and pages and tiles, wholly at or beyond `end`, which is at
  // least published().
  void Trim(Position end);

  // With another `summary` the index is built anew from the pages. RESOURCE_EXHAUSTED: it has no
  // index now. Precondition: no step runs.
  absl::Status Reindex(SummaryKind summary);

  // What it has published, for another thread to read while work goes on: complete blocks from
  // `first_block` on and complete tiles from `first_tile` on are shared, what still changes is
  // copied to the host. Precondition: no step runs.
  std::unique_ptr<SessionImage> Image(int64_t first_block, int64_t first_tile) const;

  // Moves pages of complete blocks [first, last) to the host, in every layer, the first ones
  // first but those that were chosen lately last, until `wanted` are moved or no more can be. How
  // many were.
  int64_t MoveToHost(BlockIndex first, BlockIndex last, int64_t wanted);

  // Takes the second state slot for a run of steps (RESOURCE_EXHAUSTED when
  // there is none), and gives it back.
  absl::Status BeginWork();
  void EndWork();
  bool working() const { return next_.value() >= 0; }

  // Goes back to its newest state checkpoint at or before `position`, and gives back what lies
  // behind it. False: there is none, or no room for copies of blocks that others share; what is
  // published has not changed. Precondition: no work runs.
  bool Rewind(Position position);
  // Whether it takes state checkpoints as it goes on; not at first.
  void KeepPoints(bool keep) { keeps_points_ = keep; }

  // The step that computed [published(), end) has finished.
  void Publish(Position end);
  Position published() const { return published_; }
  Position reserved() const;

  // Distant pages are still to come: their addresses are null. Meanwhile it can not be forked,
  // indexed anew or rewound, and has no image.
  bool late() const { return late_ != nullptr; }
  const LatePages* late_pages() const { return late_.get(); }
  // The step under way wants a page that is late: what it computes of this session is void.
  void Want(int32_t layer, BlockIndex block);
  // Whether a step wanted a page that was late, since the last TakeLanded.
  bool missed() const { return missed_; }
  // Pages that have come can be read from now on. False: one that a step wanted has not yet come.
  bool TakeLanded();
  // All have come.
  void EndLate();

  // For kernels: tables in the arena's memory, valid until the next Reserve or destruction.
  void* const* pages(int32_t layer) const { return pages_[layer].addresses(); }
  void* const* tiles(int32_t layer) const { return tiles_[layer].addresses(); }
  // What a ChosenBlocks of `layer` names, until destruction.
  PageTable* page_table(int32_t layer) { return &pages_[layer]; }
  bool has_host_pages() const;  // in any layer
  int64_t host_page_count() const;
  const void* state() const;  // published: a step reads it
  void* next_state();         // a step writes it. Precondition: working()
  SummaryKind summary() const { return summary_; }
  const MemoryGeometry& geometry() const { return pool_->geometry(); }

  int64_t page_count() const;
  int64_t tile_count() const;

 private:
  friend class SessionLoad;
  SessionMemory(MemoryPool* pool, SummaryKind summary);

  int64_t BlocksFor(Position end) const;
  // Tiles that index `blocks` blocks of one layer.
  int64_t TilesFor(int64_t blocks) const;
  // As ReserveFor: [0, near_end) at once.
  absl::Status ReserveGrowing(Position near_end, Position end);
  // Takes pages of the host until `pages` stand aside; gives back all but `kept`.
  absl::Status SetAside(int64_t pages);
  void GiveAside(int64_t kept);
  // Blocks of [first, last) whose move frees `pages` pages of the device; none when they do not.
  std::vector<BlockIndex> Movable(BlockIndex first, BlockIndex last, int64_t pages) const;
  // Adds zeroed pages until every table holds `count`; all or nothing.
  static absl::Status Extend(PageStore& store, int64_t count, std::vector<PageTable>& tables);
  // Summaries of every complete published block, into tiles that are there.
  void BuildIndex();

  MemoryPool* pool_;
  SummaryKind summary_;
  Position published_ = 0;
  int64_t blocks_ = 0;         // with pages, in every layer
  std::vector<PageId> aside_;  // of the host, for what Grow will move there
  BlockIndex grown_to_ = 0;    // blocks before were moved by Grow, as far as they could be
  SlotIndex current_, next_;
  StatePoints points_;
  bool keeps_points_ = false;
  std::shared_ptr<LatePages> late_;  // null: all pages are there
  bool missed_ = false;
  std::vector<PageTable> pages_, tiles_;  // [layer]
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SESSION_MEMORY_H_
