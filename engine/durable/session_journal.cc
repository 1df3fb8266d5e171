#include "engine/durable/session_journal.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/checkpoint.h"

namespace eidetic {

void SessionJournal::Hold(std::span<const LogSegment> segments) {
  for (const LogSegment& segment : segments) ++readers_[segment.log];
}

void SessionJournal::Release(std::span<const LogSegment> segments) {
  memory::JournalBatch* const batch = ledger_->batch();
  for (const LogSegment& segment : segments) {
    if (--readers_[segment.log] > 0) continue;
    readers_.erase(segment.log);
    batch->Delete(KeyOfEnd(segment.log));
    batch->DeletePrefix(RunPrefix(segment.log));
  }
}

void SessionJournal::Created(Session* session) {
  if (ledger_->batch() == nullptr || session->name.session.empty()) return;
  Hold(session->segments);
  Branched(session);
  if (session->checkpoint != nullptr) Checkpointed(*session);
  if (session->computed_by.empty()) session->computed_by = computer_;
  PutComputer(*session);
}

// 1: by nothing else before.
void SessionJournal::PutComputer(const Session& session) {
  ledger_->batch()->Put(ComputerKeyOf(session.name),
                        absl::StrCat(session.bit_identical ? "1" : "0", session.computed_by));
}

void SessionJournal::Needed(Session* session) {
  if (ledger_->batch() == nullptr || session->computed_by == computer_ || !health().ok()) return;
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
  batch->Put(CheckpointKeyOf(session.name),
             EncodeCheckpoint(session.checkpoint->record, session.bit_identical));
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
                                                        .create_time = session->create_time}));
  batch->Put(KeyOfEnd(log), Encode(LogEnd{session->position(), session->update_time}));
}

void SessionJournal::Deleted(const Session& session) {
  memory::JournalBatch* const batch = ledger_->batch();
  if (batch == nullptr || session.name.session.empty()) return;
  batch->Delete(KeyOf(session.name));
  batch->Delete(CheckpointKeyOf(session.name));
  batch->Delete(ComputerKeyOf(session.name));
  batch->DeletePrefix(RequestPrefix(session.name));
  batch->DeletePrefix(TokenPrefix(session.name));
  batch->DeletePrefix(SnapshotPrefix(session.name));
  for (const auto& [id, snapshot] : session.snapshots) Release(snapshot.segments);
  Release(session.segments);
}

void SessionJournal::Restored(std::span<const std::shared_ptr<Session>> sessions, LogId last_log) {
  next_log_ = std::max(next_log_, last_log + 1);
  readers_.clear();
  for (const auto& session : sessions) {
    Hold(session->segments);
    for (const auto& [id, snapshot] : session->snapshots) Hold(snapshot.segments);
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
