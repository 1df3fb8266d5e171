#include "engine/durable/session_keeper.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/durable/fail_point.h"

namespace eidetic {
namespace {

constexpr absl::Duration kShortestScan = absl::Milliseconds(10);
constexpr absl::Duration kLongestScan = absl::Seconds(1);

}  // namespace

SessionKeeper::SessionKeeper(KeeperParts parts)
    : parts_(std::move(parts)),
      checkpointer_(parts_.extents, parts_.limits.max_loads_under_way, parts_.wake) {}

memory::Position SessionKeeper::Common(const Session& session, const Checkpoint& checkpoint) const {
  const memory::TokenLog& log = session.log;
  const memory::Position shared =
      std::min(SharedPast(session.segments, checkpoint.record), log.size());
  if (shared == 0) return 0;
  const bool ends_a_chunk = log.ChunkBegin(shared, parts_.query_chunk_tokens) == shared;
  if (shared == checkpoint.position() && ends_a_chunk) return shared;
  return log.ChunkBegin(shared - 1, parts_.query_chunk_tokens);
}

memory::Position SessionKeeper::Kept(const Session& session, const Checkpoint* checkpoint) const {
  if (checkpoint == nullptr || checkpoint->refused) return 0;
  const memory::Position common = Common(session, *checkpoint);
  if (common == checkpoint->position()) return common;
  const memory::TokenLog& log = session.log;
  const memory::Position shared =
      std::min(SharedPast(session.segments, checkpoint->record), log.size());
  const bool ends_a_chunk = log.ChunkBegin(shared, parts_.query_chunk_tokens) == shared;
  const auto& points = checkpoint->record.manifest.points;
  for (auto point = points.rbegin(); point != points.rend(); ++point) {
    const memory::Position at = point->position;
    if (at <= common || (at == shared && ends_a_chunk)) return at;
  }
  return 0;
}

std::shared_ptr<Checkpoint> SessionKeeper::Best(const Session& session) const {
  const memory::Position newest = Kept(session, session.checkpoint.get());
  const memory::Position older = Kept(session, session.older.get());
  if (newest == 0 && older == 0) return nullptr;
  return newest >= older ? session.checkpoint : session.older;
}

bool SessionKeeper::CanSleep(const Session& session) const {
  return session.memory != nullptr && !session.memory->late() && !session.busy &&
         session.pins == 0 && Kept(session) >= session.computed();
}

bool SessionKeeper::IsHere(const SessionPtr& session) const {
  const auto found = parts_.sessions->Find(session->name);
  return found.ok() && *found == session;
}

bool SessionKeeper::IsDue(const Session& session, absl::Time now) const {
  const EngineLimits::Keeping& limits = parts_.limits;
  const memory::Position fresh = session.computed() - Kept(session);
  if (fresh <= 0 || session.checkpointing || now < session.checkpoint_after) return false;
  if (session.memory->late()) return false;
  if (drain_ || fresh >= limits.checkpoint_tokens) return true;
  if (session.busy) return false;
  const absl::Duration rest = now - session.last_use();
  const bool sleepy = limits.sleep_after > absl::ZeroDuration() && rest >= limits.sleep_after;
  return short_of_memory_ || sleepy || rest >= limits.checkpoint_idle;
}

std::vector<SessionKeeper::SessionPtr> SessionKeeper::ByRest() const {
  std::vector<SessionPtr> sessions;
  parts_.sessions->ForEach([&](const SessionPtr& session) {
    if (session->memory != nullptr) sessions.push_back(session);
  });
  std::stable_sort(sessions.begin(), sessions.end(), [](const SessionPtr& a, const SessionPtr& b) {
    return a->last_use() < b->last_use();
  });
  return sessions;
}

void SessionKeeper::OnTurn(absl::Time now) {
  const bool answered = checkpointer_.RunDone();
  Scan(now);
  WatchDrain(now);
  // What was recorded goes to the journal at once.
  if (answered) parts_.wake();
}

void SessionKeeper::Scan(absl::Time now) {
  const EngineLimits::Keeping& limits = parts_.limits;
  absl::Duration shortest = limits.checkpoint_idle;
  if (limits.sleep_after > absl::ZeroDuration()) shortest = std::min(shortest, limits.sleep_after);
  const absl::Duration interval = std::clamp(shortest / 4, kShortestScan, kLongestScan);
  if (!drain_ && !scan_now_ && now - last_scan_ < interval) return;
  if (!parts_.ledger->health().ok()) return;
  last_scan_ = now;
  scan_now_ = false;
  bool all_begun = true;
  int64_t awake = 0;
  for (const SessionPtr& session : ByRest()) {
    ++awake;
    const absl::Duration rest = now - session->last_use();
    const bool sleepy = limits.sleep_after > absl::ZeroDuration() && rest >= limits.sleep_after;
    if (sleepy && CanSleep(*session)) {
      session->DropMemory();
      --awake;
      ++counts_.slept;
    } else if (IsDue(*session, now)) {
      all_begun = all_begun && under_way_ < limits.max_checkpoints_under_way;
      if (all_begun) Begin(session);
    }
  }
  asleep_ = static_cast<int64_t>(parts_.sessions->size()) - awake;
  if (all_begun) short_of_memory_ = false;
}

std::shared_ptr<Checkpoint> SessionKeeper::BaseOf(const Session& session) const {
  std::shared_ptr<Checkpoint> best;
  memory::Position most = 0;
  for (const auto& checkpoint : {session.checkpoint, session.older}) {
    if (checkpoint == nullptr || checkpoint->refused) continue;
    const memory::Position common = Common(session, *checkpoint);
    if (common <= most) continue;
    most = common;
    best = checkpoint;
  }
  return best;
}

void SessionKeeper::Begin(const SessionPtr& session) {
  std::shared_ptr<Checkpoint> base = BaseOf(*session);
  memory::Position shared = 0;
  int64_t first_block = 0, first_tile = 0;
  if (base != nullptr) {
    shared = std::min(Common(*session, *base), session->computed());
    first_block = shared / parts_.binding.block_tokens;
    const bool same_index = base->record.manifest.binding.summary_kind ==
                            static_cast<uint8_t>(session->memory->summary());
    if (same_index && session->memory->summary() != memory::SummaryKind::kNone) {
      first_tile = first_block / memory::kTileBlocks;
    }
  }
  session->checkpointing = true;
  ++under_way_;
  checkpointer_.Write({.image = session->memory->Image(first_block, first_tile),
                       .base = std::move(base),
                       .shared = shared,
                       .max_points = static_cast<size_t>(parts_.max_points),
                       .binding = BindingOf(*session),
                       .segments = SegmentsBelow(session->segments, session->computed()),
                       .done = [this, session](auto made) { Written(session, std::move(made)); }});
}

void SessionKeeper::Written(const SessionPtr& session,
                            absl::StatusOr<std::shared_ptr<Checkpoint>> made) {
  scan_now_ = true;
  const bool wanted = made.ok() && IsHere(session) && parts_.ledger->health().ok() &&
                      Common(*session, **made) == (*made)->position();
  if (!wanted) {
    --under_way_;
    session->checkpointing = false;
    if (made.ok()) return;
    ++counts_.failed;
    session->checkpoint_after = parts_.now() + parts_.limits.checkpoint_retry;
    LOG(ERROR) << "no checkpoint of " << session->name.ToString()
               << ", it will be tried again: " << made.status();
    return;
  }
  memory::FailPoint("checkpoint.before_manifest");
  memory::JournalBatch* const batch = parts_.ledger->batch();
  // A newest one that can not be used does not take the place of the one before.
  std::shared_ptr<Checkpoint> before = session->checkpoint;
  if (before == nullptr || before->refused) before = session->older;
  if (before != nullptr) {
    batch->Put(OlderCheckpointKeyOf(session->name),
               EncodeCheckpoint(before->record, session->bit_identical));
  }
  batch->Put(CheckpointKeyOf(session->name),
             EncodeCheckpoint((*made)->record, session->bit_identical));
  // The session and its memory belong to the loop's thread: they only pass through the other.
  parts_.ledger->Tell([this, session, made = *std::move(made),
                       before = std::move(before)](const absl::Status& durable) mutable {
    if (durable.ok()) memory::FailPoint("checkpoint.after_manifest");
    checkpointer_.Post([this, session = std::move(session), made = std::move(made),
                        before = std::move(before), ok = durable.ok()]() mutable {
      Published(session, std::move(made), std::move(before), ok);
    });
  });
}

void SessionKeeper::Published(const SessionPtr& session, std::shared_ptr<Checkpoint> made,
                              std::shared_ptr<Checkpoint> before, bool durable) {
  scan_now_ = true;
  --under_way_;
  session->checkpointing = false;
  if (!durable) return uncertain_.push_back(std::move(made));
  ++counts_.written;
  if (!IsHere(session)) return HoldUntilDurable(std::move(made));  // it was deleted meanwhile
  session->checkpoint = std::move(made);
  session->older = std::move(before);
}

void SessionKeeper::HoldUntilDurable(std::shared_ptr<Checkpoint> checkpoint) {
  if (checkpoint == nullptr) return;
  parts_.ledger->Tell([this, held = std::move(checkpoint)](const absl::Status& durable) mutable {
    if (durable.ok()) return held.reset();
    checkpointer_.Post(
        [this, held = std::move(held)]() mutable { uncertain_.push_back(std::move(held)); });
  });
}

bool SessionKeeper::Sleep(const std::function<bool()>& enough, bool on_host) {
  bool any = false;
  for (const SessionPtr& session : ByRest()) {
    if (enough()) break;
    if (!CanSleep(*session) || (on_host && !session->memory->has_host_pages())) continue;
    session->DropMemory();
    ++counts_.pushed;
    any = true;
  }
  if (!enough()) short_of_memory_ = true;
  scan_now_ = true;
  return any;
}

bool SessionKeeper::SleepForPages(int64_t pages) {
  const int64_t before = parts_.pool->pages().free_count();
  return Sleep([&] { return parts_.pool->pages().free_count() - before >= pages; },
               /*on_host=*/false);
}

bool SessionKeeper::SleepForHostPages(int64_t pages) {
  const memory::PageStore& host = *parts_.pool->host_pages();
  const int64_t before = host.free_count();
  return Sleep([&] { return host.free_count() - before >= pages; }, /*on_host=*/true);
}

bool SessionKeeper::RoomMayCome() const {
  if (under_way_ + late_ > 0 || !waiting_.empty()) return true;
  if (!parts_.ledger->health().ok()) return false;
  bool any = false;
  parts_.sessions->ForEach([&](const SessionPtr& session) {
    any = any || (!session->busy && session->computed() > Kept(*session));
  });
  return any;
}

bool SessionKeeper::SleepForSlot() {
  const int32_t before = parts_.pool->slots().used_count();
  return Sleep([&] { return parts_.pool->slots().used_count() < before; }, /*on_host=*/false);
}

void SessionKeeper::CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done) {
  if (drain_) return done(absl::AbortedError("all sessions are being checkpointed already"));
  drain_ = {deadline, std::move(done)};
  parts_.wake();
}

void SessionKeeper::WatchDrain(absl::Time now) {
  if (!drain_) return;
  int64_t left = 0, due = 0;
  parts_.sessions->ForEach([&](const SessionPtr& session) {
    if (session->computed() > Kept(*session)) ++left;
    if (IsDue(*session, now)) ++due;
  });
  const absl::Status health = parts_.ledger->health();
  absl::Status status;
  if (left > 0) {
    if (under_way_ + late_ + due > 0 && now < drain_->deadline && health.ok()) return;
    status = absl::DeadlineExceededError(
        absl::StrCat(left,
                     " sessions have no checkpoint of all that they computed; they are "
                     "computed again from their logs when they are next needed"));
  }
  std::exchange(drain_, std::nullopt)->done(status);
}

void SessionKeeper::AddStats(EngineStats* stats) const {
  stats->sessions_asleep = asleep_;
  stats->checkpoints_written = counts_.written;
  stats->checkpoints_failed = counts_.failed;
  stats->checkpoints_refused = counts_.refused;
  stats->integrity_errors += counts_.damaged;
  stats->sessions_loaded = counts_.loaded;
  stats->sessions_slept = counts_.slept;
  stats->sessions_pushed = counts_.pushed;
  stats->loaded_bytes = checkpointer_.loaded_bytes();
  stats->checkpoint_bytes = parts_.extents->written_bytes();
  stats->stored_bytes = parts_.extents->stored_bytes();
}

void SessionKeeper::Close(const absl::Status& why) {
  checkpointer_.Stop();
  for (auto& [name, waiting] : std::exchange(waiting_, {})) {
    for (Waiting& one : waiting) one.then(why);
  }
  if (drain_) std::exchange(drain_, std::nullopt)->done(why);
}

}  // namespace eidetic
