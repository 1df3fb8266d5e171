// What the engine does once a turn of its loop, beside the steps.
#include <glog/logging.h>

#include "engine/engine_impl.h"

namespace eidetic {
namespace {

// How often what has expired is forgotten.
constexpr absl::Duration kSweepInterval = absl::Minutes(1);
// How often full tiers are looked for, and sessions counted.
constexpr absl::Duration kMarksInterval = absl::Milliseconds(100);
// How often sessions that have expired are deleted.
constexpr absl::Duration kExpiryInterval = absl::Seconds(1);
// How often failed storage is tried again.
constexpr absl::Duration kRecoveryInterval = absl::Seconds(1);

}  // namespace

void EngineImpl::OnTurn() {
  // A loop whose device is lost shows no heartbeat: health turns to NOT_SERVING.
  if (!loop_.lost().ok()) return line_.Close(loop_.lost());
  const absl::Time now = context_.now();
  WatchStorage(now);
  if (keeper_) keeper_->OnTurn(now);
  if (line_.size() > 0) line_.OnTurn(RoomSigns());
  if (now - last_marks_ >= kMarksInterval) {
    last_marks_ = now;
    KeepMarks();
    CountTiers();
  }
  if (now - last_expiry_ >= kExpiryInterval && ledger_.CheckRoom().ok()) {
    last_expiry_ = now;
    DeleteExpired();
  }
  if (now - last_sweep_ >= kSweepInterval) {
    last_sweep_ = now;
    sessions_.Expire();
    generations_.Expire();
    tenants_.Expire();
  }
  UpdateStats(now);
}

void EngineImpl::UpdateStats(absl::Time now) {
  const memory::PageStore* const host = pool_.host_pages();
  const memory::PromotedPages* const promoted = pool_.promoted();
  const memory::PromotionStats promotion =
      promoted == nullptr ? memory::PromotionStats() : promoted->stats();
  const memory::JournalStats journal = ledger_.stats();
  absl::MutexLock lock(&stats_mutex_);
  stats_ = {.running = loop_.running(),
            .queued = loop_.queued() + line_.size(),
            .sessions = static_cast<int64_t>(sessions_.size()),
            .pages_used = pool_.pages().used_count(),
            .pages_total = pool_.pages().capacity(),
            .host_pages_used = host == nullptr ? 0 : host->used_count(),
            .host_pages_total = host == nullptr ? 0 : host->capacity(),
            .pages_moved = pool_.moved_pages(),
            .moved_bytes = pool_.moved_pages() * static_cast<int64_t>(pool_.pages().page_bytes()),
            .promoted_pages = promoted == nullptr ? 0 : promoted->size(),
            .device_choices = promotion.chosen_on_device,
            .host_choices = promotion.chosen - promotion.chosen_on_device,
            .pages_promoted = promotion.promoted,
            .pages_dropped = promotion.dropped,
            .promoted_bytes = promotion.copied_bytes,
            .tiles_used = pool_.tiles().used_count(),
            .tiles_total = pool_.tiles().capacity(),
            .slots_used = pool_.slots().used_count(),
            .slots_total = pool_.slots().capacity(),
            .device_sessions = tiers_[0],
            .host_sessions = tiers_[1],
            .disk_sessions = tiers_[2],
            .sessions_expired = expired_,
            .integrity_errors = sessions_.damage_found(),
            .recomputed_tokens = loop_.recomputed(),
            .state_point_bytes = pool_.points().used_bytes(),
            .journal_commits = journal.commits,
            .journal_bytes = journal.bytes,
            .journal_sync_seconds = journal.sync_seconds,
            .journal_waiting_bytes = journal.waiting_bytes,
            .heartbeat = now};
  if (keeper_) keeper_->AddStats(&stats_);
}

void EngineImpl::WatchStorage(absl::Time now) {
  if (!storage_failed_) {
    const absl::Status health = ledger_.health();
    if (health.ok()) return;
    LOG(ERROR) << "storage fails, nothing is changed until it works again: " << health;
    storage_failed_ = true;
    loop_.EndAll(health);
    // Who reads meanwhile shall not see what was never acknowledged.
    ledger_.Flush();
    if (absl::Status status = Restore(); !status.ok()) LOG(ERROR) << status;
  }
  if (now - last_recovery_ < kRecoveryInterval) return;
  last_recovery_ = now;
  absl::Status status = parts_.journal->Recover();
  if (status.ok()) status = Restore();
  if (!status.ok()) return;
  // What was not acknowledged is gone from every log: later tokens begin new ones.
  sessions_.BeginNewLogs();
  storage_failed_ = false;
  LOG(INFO) << "storage works again";
}

}  // namespace eidetic
