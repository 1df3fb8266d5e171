#include "engine/durable/session_journal.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/checkpoint.h"

namespace eidetic {

void PutCheckpoints(const Session& session, memory::JournalBatch* batch) {
  const auto put = [&](const std::string& key, const std::shared_ptr<Checkpoint>& checkpoint) {
    if (checkpoint == nullptr || checkpoint->refused) return;
    batch->Put(key, EncodeCheckpoint(checkpoint->record, session.bit_identical));
  };
  put(CheckpointKeyOf(session.name), session.checkpoint);
  put(OlderCheckpointKeyOf(session.name), session.older);
}

void SessionJournal::Hold(std::span<const LogSegment> segments) {
  for (const LogSegment& segment : segments) ++readers_[segment.log];
}

void SessionJournal::Release(std::span<const LogSegment> segments) {
  for (const LogSegment& segment : segments) {
    if (--readers_[segment.log] > 0) continue;
    readers_.erase(segment.log);
    DeleteLog(segment.log);
  }
}

void SessionJournal::DeleteLog(LogId log) {
  ledger_->batch()->Delete(KeyOfEnd(log));
  ledger_->batch()->DeletePrefix(RunPrefix(log));
}

void SessionJournal::Created(Session* session) {
  if (ledger_->batch() == nullptr || session->name.session.empty()) return;
  Hold(session->segments);
  Branched(session);
  Checkpointed(*session);
  Used(session);
  if (session->computed_by.empty()) session->computed_by = computer_;
  PutComputer(*session);
}

void SessionJournal::Used(Session* session) {
  const absl::Time last_use = session->last_use();
  // Reads alone do not change the log: writing each of them down would make them writes.
  const bool known = last_use - session->use_recorded < session->expire_after / 16;
  if (ledger_->batch() == nullptr || session->expire_after <= absl::ZeroDuration() || known) return;
  session->use_recorded = last_use;
  ledger_->batch()->Put(ExpiryKeyOf(session->name),
                        Encode(ExpiryRecord{session->expire_after, last_use}));
}

// 1: by nothing else before.
void SessionJournal::PutComputer(const Session& session) {
  ledger_->batch()->Put(ComputerKeyOf(session.name),
                        absl::StrCat(session.bit_identical ? "1" : "0", session.computed_by));
}

void SessionJournal::Needed(Session* session) {
  if (ledger_->batch() == nullptr || session->computed_by == computer_ || !ledger_->health().ok()) {
    return;
  }
  const std::string before = std::exchange(session->computed_by, computer_);
  if (!before.empty() && session->position() > 0 && session->bit_identical) {
    session->bit_identical = false;
    LOG(WARNING) << session->name.ToString() << " was computed by " << before << ", and is now by "
                 << computer_ << ": its tokens may differ in bits from now on";
  }
  PutComputer(*session);
}

void SessionJournal::LoadComputer(const memory::Journal& journal, Session* session) {
  const absl::StatusOr<std::string> record = journal.Get(ComputerKeyOf(session->name));
  if (absl::IsNotFound(record.status())) return;
  if (record.ok() && !record->empty()) {
    session->bit_identical = record->front() == '1';
    session->computed_by = record->substr(1);
  } else {
    session->bit_identical = false;  // nobody knows
    LOG(ERROR) << session->name.ToString()
               << ": who computed it can not be read: " << record.status();
  }
}

void SessionJournal::Checkpointed(const Session& session) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || session.name.session.empty()) return;
  PutCheckpoints(session, batch);
}

void SessionJournal::Rewound(Session* session, std::vector<LogSegment> kept) {
  if (ledger_->batch() == nullptr || session->name.session.empty()) return;
  const std::vector<LogSegment> before = std::exchange(session->segments, std::move(kept));
  Hold(session->segments);
  Branched(session);
  Release(before);
}

void SessionJournal::Taken(const SnapshotName& name, const Snapshot& snapshot) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr) return;
  Hold(snapshot.segments);
  batch->Put(KeyOf(name), Encode(SnapshotRecord{.segments = snapshot.segments,
                                                .position = snapshot.position,
                                                .settings = snapshot.settings,
                                                .create_time = snapshot.create_time}));
}

void SessionJournal::Deleted(const SnapshotName& name, const Snapshot& snapshot) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr) return;
  batch->Delete(KeyOf(name));
  Release(snapshot.segments);
}

void SessionJournal::Branched(Session* session) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || session->name.session.empty()) return;
  session->segments.push_back({.log = next_log_++, .begin = session->position()});
  const LogId log = session->segments.back().log;
  ++readers_[log];
  batch->Put(KeyOf(session->name), Encode(SessionRecord{.segments = session->segments,
                                                        .settings = session->settings,
                                                        .create_time = session->create_time,
                                                        .adapter = BindingOf(session->adapter)}));
  batch->Put(KeyOfEnd(log), Encode(LogEnd{session->position(), session->update_time}));
}

void SessionJournal::DeleteRecords(const SessionName& session) {
  memory::JournalBatch* const batch = ledger_->batch();
  batch->Delete(KeyOf(session));
  batch->Delete(CheckpointKeyOf(session));
  batch->Delete(OlderCheckpointKeyOf(session));
  batch->Delete(ExpiryKeyOf(session));
  batch->Delete(ComputerKeyOf(session));
  batch->DeletePrefix(RequestPrefix(session));
  batch->DeletePrefix(TokenPrefix(session));
  batch->DeletePrefix(SnapshotPrefix(session));
}

void SessionJournal::Deleted(const Session& session) {
  if (ledger_->batch() == nullptr || session.name.session.empty()) return;
  DeleteRecords(session.name);
  for (const auto& [id, snapshot] : session.snapshots) Release(snapshot.segments);
  Release(session.segments);
}

void SessionJournal::Deleted(const DamagedSession& session) {
  if (ledger_->batch() == nullptr) return;
  DeleteRecords(session.name);
  Release(session.segments);
  if (session.all_logs_known || --stray_owners_ > 0) return;
  for (LogId log : std::exchange(strays_, {})) DeleteLog(log);
}

void SessionJournal::Restored(std::span<const std::shared_ptr<Session>> sessions,
                              std::span<const DamagedSession> damaged,
                              std::span<const LogId> logs) {
  if (!logs.empty()) next_log_ = std::max(next_log_, logs.back() + 1);
  readers_.clear();
  strays_.clear();
  stray_owners_ = 0;
  for (const auto& session : sessions) {
    Hold(session->segments);
    for (const auto& [id, snapshot] : session->snapshots) Hold(snapshot.segments);
  }
  for (const DamagedSession& session : damaged) {
    Hold(session.segments);
    if (!session.all_logs_known) ++stray_owners_;
  }
  for (LogId log : logs) {
    if (!readers_.contains(log)) strays_.push_back(log);
  }
}

void SessionJournal::Added(const Session& session, memory::Position begin) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || session.name.session.empty() || begin == session.position()) return;
  CHECK(!session.segments.empty()) << session.name.ToString() << " has no log";
  const LogId log = session.segments.back().log;
  batch->Put(KeyOfRun(log, begin),
             EncodeRun(session.log.KindAt(begin), session.log.Slice(begin, session.position())));
  batch->Put(KeyOfEnd(log), Encode(LogEnd{session.position(), session.update_time}));
}

void SessionJournal::Remembered(const std::string& tenant, const std::string& request_id,
                                const CreationRecord& creation) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch != nullptr) batch->Put(CreationKeyOf(tenant, request_id), Encode(creation));
}

void SessionJournal::Forgotten(const std::string& tenant, const std::string& request_id) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch != nullptr) batch->Delete(CreationKeyOf(tenant, request_id));
}

void SessionJournal::Changed(const Request& request) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || request.key.id.empty()) return;
  batch->Put(KeyOf(request.key), Encode(request.facts));
}

void SessionJournal::Drawn(const Request& request, int64_t n, const TokenRecord& token) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || request.key.id.empty()) return;
  batch->Put(KeyOfToken(request.key, n), Encode(token));
}

void SessionJournal::Forgotten(const Request& request) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || request.key.id.empty()) return;
  batch->Delete(KeyOf(request.key));
  batch->DeletePrefix(TokenPrefix(request.key));
}

}  // namespace eidetic
