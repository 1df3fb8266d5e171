// What is done to whole sessions: rewind, snapshot, restore, export, import.
//
// What: a session's log is cut or replaced, and of what the model remembers that stays which the
//   new log still says; the rest is computed when next needed.
// Thread safety: none; the engine's loop owns it. Ownership: borrows the rest, which outlives
//   it. Preconditions: names were parsed. Each as Engine says; a refusal has changed nothing.
#ifndef EIDETIC_ENGINE_SESSION_OPERATIONS_H_
#define EIDETIC_ENGINE_SESSION_OPERATIONS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/durable/session_journal.h"
#include "engine/engine.h"
#include "engine/session_table.h"

namespace eidetic {

class SessionOperations {
 public:
  SessionOperations(SessionTable* sessions, SessionJournal* journal,
                    std::function<absl::Time()> now, int32_t max_snapshots)
      : sessions_(sessions),
        journal_(journal),
        now_(std::move(now)),
        max_snapshots_(max_snapshots) {}

  absl::StatusOr<SessionInfo> Rewind(const SessionName& name, memory::Position position,
                                     std::optional<memory::Position> expected_position);
  absl::StatusOr<SnapshotInfo> Snapshot(const SnapshotName& name,
                                        std::optional<memory::Position> expected_position);
  absl::StatusOr<std::vector<SnapshotInfo>> List(const SessionName& name, const std::string& after,
                                                 int32_t limit) const;
  absl::Status Delete(const SnapshotName& name);
  absl::StatusOr<SessionInfo> Restore(const SnapshotName& name,
                                      std::optional<memory::Position> expected_position);
  absl::StatusOr<ExportedSession> Export(const SessionName& name,
                                         const std::optional<std::string>& snapshot) const;
  // `adapter`: what the export's session was computed with.
  absl::StatusOr<SessionInfo> Import(const SessionName& name, ExportedSession exported,
                                     AdapterRef adapter);

 private:
  absl::StatusOr<std::shared_ptr<Session>> FindWritable(
      const SessionName& name, std::optional<memory::Position> expected_position) const;
  // The session's past becomes `log`, which stands in `segments`, with the settings of `past`.
  SessionInfo Replace(Session* session, memory::TokenLog log, memory::SettingsHistory past,
                      std::vector<LogSegment> segments);

  SessionTable* sessions_;
  SessionJournal* journal_;
  std::function<absl::Time()> now_;
  int32_t max_snapshots_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SESSION_OPERATIONS_H_
