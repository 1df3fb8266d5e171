// Keeps sessions' memory on the disk: decides when a session is checkpointed, put to sleep, woken.
//
// What: checkpoints sessions that rest, that have computed much, and all when the server ends. A
//   session that rests long, or the one that rested longest when memory runs out, gives its
//   memory back, if all of it stands in a durable checkpoint. Who needs a session that sleeps
//   waits while it is loaded; what can not be loaded is computed again from the log.
// Thread safety: the loop's thread, but for Stats' fields that it copies. Ownership: borrows
//   everything; shares sessions while work on them is under way.
// Preconditions: Restore was called. Not to be called after the loop has ended, but for Close.
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_KEEPER_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_KEEPER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/durable/checkpointer.h"
#include "engine/durable/ledger.h"
#include "engine/engine.h"
#include "engine/session_table.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/journal.h"
#include "memory/session_memory.h"

namespace eidetic {

struct KeeperParts {
  memory::ExtentStore* extents = nullptr;
  const memory::Journal* journal = nullptr;
  Ledger* ledger = nullptr;
  SessionTable* sessions = nullptr;
  memory::MemoryPool* pool = nullptr;
  EngineObserver* observer = nullptr;
  memory::CheckpointBinding binding;  // of this server; the summary's kind is each session's
  int32_t query_chunk_tokens = 0;
  int32_t max_points = 0;  // past states that a checkpoint keeps
  EngineLimits::Keeping limits;
  bool finds_late_pages = false;  // as Backend's
  std::function<void()> wake;     // makes the loop turn again; any thread
  std::function<absl::Time()> now;
};

class SessionKeeper {
 public:
  explicit SessionKeeper(KeeperParts parts);

  // Before the table's sessions are replaced by those of the journal: their extents stay.
  void BeforeRestore();
  // Reads the manifests of the sessions in the table; what no manifest names is removed.
  absl::Status Restore();
  // Once a turn of the loop.
  void OnTurn(absl::Time now);

  // Calls `then` once the session, if it is there and sleeps, has its memory, or needs to compute
  // it again: at once when nothing is to be loaded. RESOURCE_EXHAUSTED when there is no room.
  // kToStep: distant pages may be late (SessionMemory::late), where the backend allows it.
  using Then = absl::AnyInvocable<void(absl::Status)>;
  void WhenAwake(const SessionName& name, MemoryNeed need, Then then);

  // Whether a request waits for the session to be loaded.
  bool IsWaitedFor(const SessionName& name) const { return waiting_.contains(name); }

  // Puts sessions to sleep until `pages` more pages are free, or one more state slot is. Whether
  // any went.
  bool SleepForPages(int64_t pages);
  bool SleepForSlot();
  // Of the host; who has none there stays awake.
  bool SleepForHostPages(int64_t pages);
  // Whether sessions that rest will be able to sleep soon, and a number that changes meanwhile.
  bool RoomMayCome() const;
  int64_t progress() const {
    return counts_.written + counts_.failed + counts_.refused + counts_.loaded - under_way_;
  }

  // As Engine::CheckpointAll.
  void CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done);

  // What a deleted session had stays until the deletion is durable.
  void HoldUntilDurable(const Session& session) {
    HoldUntilDurable(session.checkpoint);
    HoldUntilDurable(session.older);
  }

  void AddStats(EngineStats* stats) const;

  // The loop has ended: who waits is told `why`; the thread ends.
  void Close(const absl::Status& why);

 private:
  using SessionPtr = std::shared_ptr<Session>;
  struct Drain {
    absl::Time deadline;
    std::function<void(absl::Status)> done;
  };

  // How far what `checkpoint` holds is what the session's log gives: tokens alike do not do, since
  // the tokens of a chunk share a choice. Where the session was cut within a chunk, or goes on
  // where the checkpoint was, that chunk is another.
  memory::Position Common(const Session& session, const Checkpoint& checkpoint) const;
  // The last of the checkpoint's positions, its own or that of a past state, that the session can
  // go on from; 0: none.
  memory::Position Kept(const Session& session, const Checkpoint* checkpoint) const;
  // Of the two that the session has, the one that keeps most; null: neither keeps anything.
  std::shared_ptr<Checkpoint> Best(const Session& session) const;
  memory::Position Kept(const Session& session) const { return Kept(session, Best(session).get()); }
  bool CanLoad(const Session& session) const;
  bool CanSleep(const Session& session) const;
  bool IsHere(const SessionPtr& session) const;
  bool IsDue(const Session& session, absl::Time now) const;
  // Awake sessions, the one that rested longest first.
  std::vector<SessionPtr> ByRest() const;

  void Scan(absl::Time now);
  void WatchDrain(absl::Time now);
  void Begin(const SessionPtr& session);
  // What `session` goes on from when it is checkpointed, if anything.
  std::shared_ptr<Checkpoint> BaseOf(const Session& session) const;
  void Written(const SessionPtr& session, absl::StatusOr<std::shared_ptr<Checkpoint>> made);
  // `before`: what was its newest.
  void Published(const SessionPtr& session, std::shared_ptr<Checkpoint> made,
                 std::shared_ptr<Checkpoint> before, bool durable);
  void HoldUntilDurable(std::shared_ptr<Checkpoint> checkpoint);
  void Load(const SessionPtr& session);
  void Loaded(const SessionPtr& session, const std::shared_ptr<Checkpoint>& from, absl::Time begun,
              absl::StatusOr<std::unique_ptr<memory::SessionMemory>> memory);
  // Of the session's memory all late pages have come, or will not. Damage that is found only now
  // does not reach a token: what was computed since did not touch the pages that are missing.
  void LateDone(const SessionPtr& session, const std::shared_ptr<Checkpoint>& from,
                std::shared_ptr<memory::LatePages> late, const absl::Status& status);
  // `checkpoint` null: its record can not be read.
  void Refuse(const SessionName& session, Checkpoint* checkpoint, const absl::Status& why);
  void RunWaiting(const SessionName& name, const absl::Status& status);
  bool Sleep(const std::function<bool()>& enough, bool on_host);
  // `which`: of the session, where it goes.
  void Adopt(const absl::StatusOr<SessionName>& name, std::string_view value,
             std::shared_ptr<Checkpoint> Session::*which);
  // Why what the journal has can not be loaded, if so.
  absl::Status CheckAdopted(const Session& session, const Checkpoint& checkpoint) const;
  // What its checkpoints are bound to.
  memory::CheckpointBinding BindingOf(const Session& session) const;
  memory::CheckpointBinding BindingFor(const Session& session, const Checkpoint& checkpoint) const;

  const KeeperParts parts_;
  Checkpointer checkpointer_;
  struct Waiting {
    MemoryNeed need;
    Then then;
  };
  std::map<SessionName, std::vector<Waiting>> waiting_;  // for sessions that are being loaded
  // Checkpoints that a failed journal may or may not name: kept until it is read anew.
  std::vector<std::shared_ptr<Checkpoint>> uncertain_;
  std::optional<Drain> drain_;
  absl::Time last_scan_ = absl::InfinitePast();
  bool scan_now_ = false;
  bool all_read_ = true;          // at the last Restore
  bool short_of_memory_ = false;  // sessions that rest are checkpointed at once
  int64_t under_way_ = 0;
  int64_t late_ = 0;    // loads whose late pages are being read
  int64_t asleep_ = 0;  // sessions, at the last scan
  struct Counts {
    int64_t written = 0, failed = 0, refused = 0, loaded = 0, damaged = 0, slept = 0, pushed = 0;
  } counts_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_KEEPER_H_
