// State checkpoints: a session's states at past positions, in the host's memory, so that it can
// go back to them and compute on from there.
//
// What: a session keeps a bounded number, each taken when the newest is some tokens old. Thinning
//   leaves them spaced geometrically from the newest: going back d tokens computes again no more
//   than a fixed part of d. All sessions share a budget; who has most gives first. Forks share
//   what they have in common.
// Thread safety: the engine's thread; a point's bytes may be read by any thread that holds it.
// Ownership: the store owns the bytes, points share them; it outlives every point but for those
//   that it hands to nobody. Borrows the arenas.
// Preconditions: CHECKed. No step runs.
#ifndef EIDETIC_MEMORY_STATE_POINTS_H_
#define EIDETIC_MEMORY_STATE_POINTS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "memory/arena.h"
#include "memory/ids.h"
#include "memory/page_store.h"

namespace eidetic::memory {

struct StatePointLimits {
  int32_t max_points = 32;               // of one session; 0: none are kept
  int64_t max_bytes = int64_t{2} << 30;  // of all sessions, in the host's memory
  int64_t spacing_tokens = 512;          // from one to the next, at least
};

// Which of `positions` (rising) is missed least, as an index: the spacing, seen from the newest,
// stays closest to geometric without it. The newest stays unless it is the only one.
size_t LeastMissed(std::span<const Position> positions);

struct StatePoint {
  Position position = 0;
  bool ready = false;  // false: its bytes are on their way
  PageId page;
  std::span<const std::byte> bytes;
};
using StatePointPtr = std::shared_ptr<const StatePoint>;

class StatePoints;

class StatePointStore {
 public:
  // `pinned`: host memory that the arena copies to beside the work; null: it is copied to at once.
  StatePointStore(Arena* arena, Arena* pinned, size_t state_bytes, const StatePointLimits& limits);
  // Waits for copies under way.
  ~StatePointStore();
  StatePointStore(const StatePointStore&) = delete;
  StatePointStore& operator=(const StatePointStore&) = delete;

  // Copies `state`; null when there is no room, or too many copies are under way.
  StatePointPtr Take(Position position, const void* state);
  // Writes it to `state`, in the order of the arena's operations.
  void Restore(const StatePoint& point, void* state);
  // Between steps: copies that have ended become ready.
  void Poll();

  const StatePointLimits& limits() const { return limits_; }
  int64_t used_bytes() const;

 private:
  friend class StatePoints;
  struct Copy {
    Arena::Ticket ticket;
    PageId spare;
    std::shared_ptr<StatePoint> point;
  };
  bool StartCopy(const std::shared_ptr<StatePoint>& point, const void* state);
  bool MakeRoom();

  Arena* const arena_;
  const std::unique_ptr<Arena> own_;  // null: pinned memory is used
  const StatePointLimits limits_;
  PageStore spares_;  // of the device: a state stands still here while it is copied
  PageStore host_;
  std::deque<Copy> copies_;
  std::set<StatePoints*> sessions_;
};

// Those of one session.
class StatePoints {
 public:
  explicit StatePoints(StatePointStore* store);
  ~StatePoints();
  StatePoints(const StatePoints&) = delete;
  StatePoints& operator=(const StatePoints&) = delete;

  // The session stands at `position` with `state`.
  void Reached(Position position, const void* state);
  // The newest at or before `position` that is ready; null: there is none.
  StatePointPtr Find(Position position) const;
  // Forgets what lies beyond `position`.
  void CutTo(Position position);
  // Has what `other` has, too. Precondition: it has none.
  void Share(const StatePoints& other) { points_ = other.points_; }
  // By position; those that are ready.
  std::vector<StatePointPtr> Ready() const;
  size_t size() const { return points_.size(); }

 private:
  friend class StatePointStore;
  void Thin();

  StatePointStore* const store_;
  std::vector<StatePointPtr> points_;  // positions rise
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_STATE_POINTS_H_
