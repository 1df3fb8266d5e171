// Writes what happens to sessions and requests into the ledger's batch.
//
// What: one call for each change, made when the change is made; it is durable when what the
//   ledger was told after it is told. Sessions share logs: a fork reads its parent's up to its
//   own beginning, and a log goes when no session reads it any more.
// Thread safety: the loop's thread. Ownership: borrows the ledger, which outlives it.
// Preconditions: what the journal has was read, and Restored was told.
// Sessions without a name, requests without an id and, without a journal, everything: ignored.
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_JOURNAL_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_JOURNAL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/durable/ledger.h"
#include "engine/durable/session_records.h"
#include "engine/scheduler/request_book.h"
#include "engine/session.h"

namespace eidetic {

// Those that the session carries, but for those that were refused, become what the journal has.
void PutCheckpoints(const Session& session, memory::JournalBatch* batch);

class SessionJournal {
 public:
  // `computer`: what computes here, build and kind of device.
  SessionJournal(Ledger* ledger, std::string computer)
      : ledger_(ledger), computer_(std::move(computer)) {}

  // Not OK: nothing may be changed at present.
  absl::Status CheckRoom() const { return ledger_->CheckRoom(); }

  // `session` has the past of the log segments that it carries, and writes to a new log from its
  // position on.
  void Created(Session* session);
  // It keeps its past and writes to a new log from its position on: what stands in the old one
  // behind that is not its own any more.
  void Branched(Session* session);
  // Its past became that of `kept` up to its position; it writes to a new log from there on.
  void Rewound(Session* session, std::vector<LogSegment> kept);
  void Deleted(const Session& session);
  // When it expires, counted from its last use: kept where it stood some time ago.
  void Used(Session* session);
  // The snapshot holds its logs until it is deleted, or its session is.
  void Taken(const SnapshotName& name, const Snapshot& snapshot);
  void Deleted(const SnapshotName& name, const Snapshot& snapshot);
  // All records of it, and logs that only it can have held.
  void Deleted(const DamagedSession& session);
  // These, and no others, stand in the journal, and of logs `logs`, ascending.
  void Restored(std::span<const std::shared_ptr<Session>> sessions,
                std::span<const DamagedSession> damaged, std::span<const LogId> logs);
  // It has the checkpoints that it carries.
  void Checkpointed(const Session& session);
  // It is about to be computed, or loaded, here: from now on its tokens may differ in bits from
  // those of an uninterrupted run, if something else computed it before.
  void Needed(Session* session);
  // Gives it what `journal` says of who computed it; nothing where it says nothing.
  static void LoadComputer(const memory::Journal& journal, Session* session);
  // Tokens [begin, position) were added: one append, or one generated token.
  void Added(const Session& session, memory::Position begin);

  void Remembered(const std::string& tenant, const std::string& request_id,
                  const CreationRecord& creation);
  void Forgotten(const std::string& tenant, const std::string& request_id);

  // The request began, stopped or ended: its facts changed.
  void Changed(const Request& request);
  void Drawn(const Request& request, int64_t n, const TokenRecord& token);
  void Forgotten(const Request& request);

 private:
  void DeleteRecords(const SessionName& session);
  void DeleteLog(LogId log);
  void Hold(std::span<const LogSegment> segments);
  // Deletes the logs that nobody reads any more.
  void Release(std::span<const LogSegment> segments);

  void PutComputer(const Session& session);

  Ledger* ledger_;
  const std::string computer_;
  LogId next_log_ = 1;
  // Logs that nobody is known to hold, and how many damaged sessions may hold them.
  std::vector<LogId> strays_;
  int64_t stray_owners_ = 0;
  std::map<LogId, int64_t> readers_;  // sessions and snapshots that a log's tokens belong to
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_JOURNAL_H_
