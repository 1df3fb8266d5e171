#include "memory/state_points.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "memory/host_arena.h"

namespace eidetic::memory {
namespace {

// Each holds a state of the device; while all are taken no point is.
constexpr int32_t kMaxCopiesUnderWay = 4;
// A bound for tiny states: the tables of a store grow with it.
constexpr int64_t kMaxPoints = int64_t{1} << 17;

int32_t PointCapacity(size_t state_bytes, const StatePointLimits& limits) {
  if (limits.max_points <= 0 || state_bytes == 0) return 0;
  const int64_t fit = limits.max_bytes / static_cast<int64_t>(state_bytes);
  return static_cast<int32_t>(std::clamp<int64_t>(fit, 0, kMaxPoints));
}

std::unique_ptr<Arena> OwnArena(const Arena* pinned) {
  if (pinned != nullptr) return nullptr;
  return std::make_unique<HostArena>(std::numeric_limits<size_t>::max());
}

}  // namespace

size_t LeastMissed(std::span<const Position> positions) {
  CHECK(!positions.empty());
  // Distances are from one behind the newest: none is 0. Without its i-th point a session that
  // goes back to just before point i + 1 computes again from point i - 1; before the first one
  // stands the session's beginning.
  const auto distance = [&](size_t i) {
    return static_cast<double>(positions.back() + 1 - positions[i]);
  };
  size_t least = 0;
  double least_ratio = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i + 1 < positions.size(); ++i) {
    const double before = i == 0 ? static_cast<double>(positions.back() + 1) : distance(i - 1);
    const double ratio = before / distance(i + 1);
    if (ratio < least_ratio) {
      least_ratio = ratio;
      least = i;
    }
  }
  return least;
}

StatePointStore::StatePointStore(Arena* arena, Arena* pinned, size_t state_bytes,
                                 const StatePointLimits& limits)
    : arena_(arena),
      own_(OwnArena(pinned)),
      limits_(limits),
      spares_(arena, state_bytes, kMaxCopiesUnderWay),
      host_(pinned != nullptr ? pinned : own_.get(), state_bytes,
            PointCapacity(state_bytes, limits)) {}

StatePointStore::~StatePointStore() {
  for (Poll(); !copies_.empty(); Poll()) std::this_thread::yield();
  CHECK(sessions_.empty()) << "sessions outlive the store of their states";
}

bool StatePointStore::MakeRoom() {
  const auto largest =
      std::max_element(sessions_.begin(), sessions_.end(),
                       [](const auto* a, const auto* b) { return a->size() < b->size(); });
  if (largest == sessions_.end() || (*largest)->size() == 0) return false;
  (*largest)->Thin();
  return true;
}

StatePointPtr StatePointStore::Take(Position position, const void* state) {
  if (host_.capacity() == 0) return nullptr;
  // What forks and checkpoints under way share is not free at once: so more than one round.
  while (host_.free_count() == 0) {
    if (!MakeRoom()) return nullptr;
  }
  const auto page = host_.Allocate(1, PageStore::Fill::kAny);
  if (!page.ok()) return nullptr;  // the host has no memory: as without room
  const PageId id = page->front();
  const auto* address = static_cast<const std::byte*>(host_.Address(id));
  const std::shared_ptr<StatePoint> point(
      new StatePoint{.position = position, .page = id, .bytes = {address, host_.page_bytes()}},
      [this](StatePoint* gone) {
        host_.Release(gone->page);
        delete gone;
      });
  if (own_ != nullptr) {
    arena_->CopyToHost(host_.Address(id), state, host_.page_bytes());
    point->ready = true;
    return point;
  }
  if (!StartCopy(point, state)) return nullptr;
  Poll();
  return point;
}

bool StatePointStore::StartCopy(const std::shared_ptr<StatePoint>& point, const void* state) {
  const auto spare = spares_.Allocate(1, PageStore::Fill::kAny);
  if (!spare.ok()) return false;
  void* const still = spares_.Address(spare->front());
  arena_->Copy(still, state, spares_.page_bytes());
  const Arena::Transfer transfer = {host_.Address(point->page), still, spares_.page_bytes()};
  copies_.push_back({arena_->CopyBeside({&transfer, 1}), spare->front(), point});
  return true;
}

void StatePointStore::Poll() {
  while (!copies_.empty()) {
    Copy& copy = copies_.front();
    const Arena::Progress progress = arena_->Poll(copy.ticket);
    if (progress == Arena::Progress::kRunning) return;
    // One that failed never becomes ready.
    copy.point->ready = progress == Arena::Progress::kDone;
    spares_.Release(copy.spare);
    copies_.pop_front();
  }
}

void StatePointStore::Restore(const StatePoint& point, void* state) {
  CHECK(point.ready);
  if (own_ != nullptr) {
    arena_->CopyFromHost(state, point.bytes.data(), point.bytes.size());
  } else {
    arena_->Copy(state, point.bytes.data(), point.bytes.size());
  }
}

int64_t StatePointStore::used_bytes() const {
  return int64_t{host_.used_count()} * static_cast<int64_t>(host_.page_bytes());
}

StatePoints::StatePoints(StatePointStore* store) : store_(store) { store_->sessions_.insert(this); }

StatePoints::~StatePoints() { store_->sessions_.erase(this); }

void StatePoints::Reached(Position position, const void* state) {
  const Position newest = points_.empty() ? 0 : points_.back()->position;
  if (position - newest < store_->limits().spacing_tokens) return;
  StatePointPtr point = store_->Take(position, state);
  if (point == nullptr) return;
  points_.push_back(std::move(point));
  while (points_.size() > static_cast<size_t>(store_->limits().max_points)) Thin();
}

StatePointPtr StatePoints::Find(Position position) const {
  for (auto point = points_.rbegin(); point != points_.rend(); ++point) {
    if ((*point)->position <= position && (*point)->ready) return *point;
  }
  return nullptr;
}

void StatePoints::CutTo(Position position) {
  while (!points_.empty() && points_.back()->position > position) points_.pop_back();
}

std::vector<StatePointPtr> StatePoints::Ready() const {
  std::vector<StatePointPtr> ready;
  for (const StatePointPtr& point : points_) {
    if (point->ready) ready.push_back(point);
  }
  return ready;
}

void StatePoints::Thin() {
  std::vector<Position> positions;
  for (const StatePointPtr& point : points_) positions.push_back(point->position);
  points_.erase(points_.begin() + static_cast<std::ptrdiff_t>(LeastMissed(positions)));
}

}  // namespace eidetic::memory
