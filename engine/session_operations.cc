#include "engine/session_operations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/checkpoint.h"

namespace eidetic {
namespace {

const memory::TokenLog& LogOf(const Session& session, const Snapshot& snapshot) {
  return snapshot.log == nullptr ? session.log : *snapshot.log;
}

absl::StatusOr<std::map<std::string, Snapshot>::iterator> FindSnapshot(Session* session,
                                                                       const std::string& id) {
  const auto found = session->snapshots.find(id);
  if (found != session->snapshots.end()) return found;
  return absl::NotFoundError(absl::StrCat(
      "snapshot: there is no ", SnapshotName{session->name, id}.ToString(), "; take it first"));
}

SnapshotInfo InfoOf(const SnapshotName& name, const Snapshot& snapshot) {
  return {.name = name, .position = snapshot.position, .create_time = snapshot.create_time};
}

// Snapshots that begin with more of the session's log than it will keep get that log.
void KeepForSnapshots(Session* session, memory::Position kept) {
  std::shared_ptr<const memory::TokenLog> old;
  for (auto& [id, snapshot] : session->snapshots) {
    if (snapshot.log != nullptr || snapshot.position <= kept) continue;
    if (old == nullptr) old = std::make_shared<const memory::TokenLog>(std::move(session->log));
    snapshot.log = old;
  }
}

// Up to where states of a log that has `common` tokens with `next` are states of `next`. A chunk
// that ended where the logs part may go on there, so that point is none to go on from, unless
// `next` ends there too.
memory::Position LastHeld(memory::Position common, const memory::TokenLog& next) {
  if (common == next.size()) return common;
  return std::max<memory::Position>(0, common - 1);  // nothing is a state of every log
}

// The model remembers no more of the session than its first `end` tokens.
void ForgetBehind(Session* session, memory::Position end) {
  session->seen = std::max(session->seen, session->computed());
  if (session->computed() <= end) return;
  const SessionPin pin(session);
  if (session->memory->late() || !session->memory->Rewind(end)) session->DropMemory();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Session>> SessionOperations::FindWritable(
    const SessionName& name, std::optional<memory::Position> expected_position) const {
  absl::StatusOr<std::shared_ptr<Session>> session = sessions_->Find(name);
  if (!session.ok()) return session;
  absl::Status status = CheckWritable(**session, expected_position);
  if (status.ok()) status = journal_->CheckRoom();
  if (!status.ok()) return status;
  return session;
}

SessionInfo SessionOperations::Replace(Session* session, memory::TokenLog log,
                                       memory::SettingsHistory past,
                                       std::vector<LogSegment> segments) {
  past.Change(log.size(), session->settings.last());
  const memory::Position common =
      std::min(session->log.CommonPrefix(log), session->settings.CommonPrefix(past));
  ForgetBehind(session, LastHeld(common, log));
  session->seen = std::min(session->seen, common);
  session->requests.ForgetBeyond(common);
  KeepForSnapshots(session, common);
  session->log = std::move(log);
  session->settings = std::move(past);
  session->update_time = now_();
  journal_->Rewound(session, std::move(segments));
  return sessions_->InfoOf(*session);
}

absl::StatusOr<SessionInfo> SessionOperations::Rewind(
    const SessionName& name, memory::Position position,
    std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::shared_ptr<Session>> session = FindWritable(name, expected_position);
  if (!session.ok()) return session.status();
  if (position < 0 || position > (*session)->position()) {
    return absl::OutOfRangeError(absl::StrCat(
        "position: is ", position, "; the session has tokens up to ", (*session)->position()));
  }
  if (position == (*session)->position()) return sessions_->InfoOf(**session);
  return Replace(session->get(), (*session)->log.Prefix(position), (*session)->settings,
                 SegmentsBelow((*session)->segments, position));
}

absl::StatusOr<SnapshotInfo> SessionOperations::Snapshot(
    const SnapshotName& name, std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::shared_ptr<Session>> session = FindWritable(name.session, expected_position);
  if (!session.ok()) return session.status();
  auto& snapshots = (*session)->snapshots;
  if (snapshots.contains(name.snapshot)) {
    return absl::AlreadyExistsError(
        absl::StrCat("snapshot_id: ", name.ToString(), " exists; choose another"));
  }
  if (snapshots.size() >= static_cast<size_t>(max_snapshots_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("snapshot_id: the session has ", max_snapshots_,
                     " snapshots; delete some, or raise the server's limit of them"));
  }
  const memory::Position position = (*session)->position();
  const eidetic::Snapshot& taken =
      snapshots[name.snapshot] = {.position = position,
                                  .settings = (*session)->settings,
                                  .create_time = now_(),
                                  .segments = SegmentsBelow((*session)->segments, position),
                                  .log = nullptr};
  journal_->Taken(name, taken);
  return InfoOf(name, taken);
}

absl::StatusOr<std::vector<SnapshotInfo>> SessionOperations::List(const SessionName& name,
                                                                  const std::string& after,
                                                                  int32_t limit) const {
  absl::StatusOr<std::shared_ptr<Session>> session = sessions_->Find(name);
  if (!session.ok()) return session.status();
  std::vector<SnapshotInfo> infos;
  const auto& snapshots = (*session)->snapshots;
  for (auto it = snapshots.upper_bound(after); it != snapshots.end(); ++it) {
    if (infos.size() >= static_cast<size_t>(limit)) break;
    infos.push_back(InfoOf({name, it->first}, it->second));
  }
  return infos;
}

absl::Status SessionOperations::Delete(const SnapshotName& name) {
  absl::StatusOr<std::shared_ptr<Session>> session = sessions_->Find(name.session);
  if (!session.ok()) return session.status();
  const auto snapshot = FindSnapshot(session->get(), name.snapshot);
  if (!snapshot.ok()) return snapshot.status();
  if (absl::Status status = journal_->CheckRoom(); !status.ok()) return status;
  journal_->Deleted(name, (*snapshot)->second);
  (*session)->snapshots.erase(*snapshot);
  return absl::OkStatus();
}

absl::StatusOr<SessionInfo> SessionOperations::Restore(
    const SnapshotName& name, std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::shared_ptr<Session>> session = FindWritable(name.session, expected_position);
  if (!session.ok()) return session.status();
  const auto found = FindSnapshot(session->get(), name.snapshot);
  if (!found.ok()) return found.status();
  eidetic::Snapshot& snapshot = (*found)->second;
  const SessionInfo info =
      Replace(session->get(), LogOf(**session, snapshot).Prefix(snapshot.position),
              snapshot.settings, snapshot.segments);
  snapshot.log.reset();  // the session's own begins with its tokens again
  return info;
}

absl::StatusOr<ExportedSession> SessionOperations::Export(
    const SessionName& name, const std::optional<std::string>& snapshot) const {
  absl::StatusOr<std::shared_ptr<Session>> session = sessions_->Find(name);
  if (!session.ok()) return session.status();
  const AdapterBinding adapter = BindingOf((*session)->adapter);
  if (!snapshot) return ExportedSession{(*session)->settings, (*session)->log, adapter};
  const auto found = FindSnapshot(session->get(), *snapshot);
  if (!found.ok()) return found.status();
  const eidetic::Snapshot& point = (*found)->second;
  return ExportedSession{point.settings, LogOf(**session, point).Prefix(point.position), adapter};
}

absl::StatusOr<SessionInfo> SessionOperations::Import(const SessionName& name,
                                                      ExportedSession exported,
                                                      AdapterRef adapter) {
  SessionTable::Creation creation{name, "", ""};
  creation.adapter = std::move(adapter);
  const absl::StatusOr<SessionInfo> made = sessions_->Create(creation, exported.settings);
  if (!made.ok()) return made.status();
  absl::StatusOr<std::shared_ptr<Session>> found = sessions_->Find(name);
  if (!found.ok()) return found.status();
  Session* const session = found->get();
  const memory::TokenLog& log = exported.log;
  for (memory::Position begin = 0; begin < log.size(); begin = session->position()) {
    const std::span<const memory::TokenId> run = log.Slice(begin, log.RunEnd(begin));
    if (log.KindAt(begin) == memory::TokenKind::kAppended) {
      session->log.Append(run);
    } else {
      for (memory::TokenId token : run) session->log.AppendGenerated(token);
    }
    journal_->Added(*session, begin);
  }
  session->memory.reset();  // nothing is computed, and nobody waits for it
  return sessions_->InfoOf(*session);
}

}  // namespace eidetic
