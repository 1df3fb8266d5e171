// One conversation: a token log, and what the model remembers of it.
//
// Thread safety: none; the engine's loop owns it. Ownership: owns log and memory.
// Preconditions: one SessionWork at a time writes to it; it is awake while one does.
// Invariant: computed() <= log.size(). The log is what was acknowledged; the rest
//   of it is computed when next needed.
#ifndef EIDETIC_ENGINE_SESSION_H_
#define EIDETIC_ENGINE_SESSION_H_

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/adapter.h"
#include "engine/durable/session_keys.h"
#include "engine/scheduler/request_book.h"
#include "engine/session_name.h"
#include "memory/session_memory.h"
#include "memory/settings_history.h"
#include "memory/token_log.h"

namespace eidetic {

// A point of a session's past that stays, whatever becomes of the session.
struct Snapshot {
  memory::Position position = 0;
  memory::SettingsHistory settings;  // of its tokens
  absl::Time create_time;
  std::vector<LogSegment> segments;  // where the journal has its tokens; empty without a journal
  // A log that begins with its tokens; null: the session's own does.
  std::shared_ptr<const memory::TokenLog> log;
};
struct Checkpoint;

// How much of its memory a session must have.
enum class MemoryNeed : uint8_t {
  kToStep,  // pages may be late: steps that want them are taken again
  kWhole,
};

struct Session {
  SessionName name;    // empty: a throw-away session, known to its work alone
  AdapterRef adapter;  // what all its past was computed with; null: the base model
  memory::SettingsHistory settings;
  memory::TokenLog log;
  std::vector<LogSegment> segments;  // where the journal has the log; empty without a journal
  std::unique_ptr<memory::SessionMemory> memory;  // null: asleep, the model remembers nothing
  absl::Time create_time, update_time;
  absl::Time read_time;  // when a request last read its memory and changed nothing
  // Of rest, then it is deleted; 0: never. The last use that the journal knows, if it expires.
  absl::Duration expire_after;
  absl::Time use_recorded = absl::InfinitePast();
  bool busy = false;  // a SessionWork holds it
  // Of SessionKeeper: the newest durable checkpoint and the one before (null: none), whether
  // another is under way, when a failed one may be tried again, when the session was last needed.
  std::shared_ptr<Checkpoint> checkpoint, older;
  bool checkpointing = false;
  absl::Time checkpoint_after = absl::InfinitePast(), used_time = absl::InfinitePast();
  bool bit_identical = true;  // as SessionInfo
  std::string computed_by;    // build and kind of device, as SessionJournal has it
  mutable int32_t pins = 0;   // while not 0 its memory stays
  RequestBook requests;
  std::map<std::string, Snapshot> snapshots;

  memory::Position position() const { return log.size(); }
  // Of these tokens, from the beginning on, those that are computed now were computed before.
  memory::Position seen = 0;
  memory::Position computed() const { return memory == nullptr ? 0 : memory->published(); }
  absl::Time last_use() const { return std::max({update_time, read_time, used_time}); }

  // Gives it memory, unless it has. RESOURCE_EXHAUSTED, a shortage, leaves it asleep.
  absl::Status Wake(memory::MemoryPool* pool);
  // Its memory, of which pages are late and will not come, becomes that of a session of which
  // nothing is computed, with the room that it has. Precondition: work holds it.
  void BeginAgain(memory::MemoryPool* pool, int32_t query_chunk_tokens);
  // It sleeps.
  void DropMemory();
  // Gives its memory the index that the next token to compute needs. RESOURCE_EXHAUSTED: it
  // has none. Precondition: it is awake, and no step runs.
  absl::Status PrepareIndex();
};

// A session that can only be deleted: some of its records are damaged or missing.
struct DamagedSession {
  SessionName name;
  absl::Status why;
  // What those of its records that can be read hold of logs, of the session and each snapshot.
  std::vector<LogSegment> segments;
  bool all_logs_known = true;  // false: it may hold others, too
};

// Keeps a session's memory where it is while room for others is made.
class SessionPin {
 public:
  explicit SessionPin(const Session* session) : session_(session) { ++session_->pins; }
  ~SessionPin() { --session_->pins; }
  SessionPin(const SessionPin&) = delete;
  SessionPin& operator=(const SessionPin&) = delete;

 private:
  const Session* session_;
};

// FAILED_PRECONDITION unless `expected` is unset or the session's position.
absl::Status CheckPosition(const Session& session, std::optional<memory::Position> expected);
// ABORTED while a writer holds the session; else as CheckPosition.
absl::Status CheckWritable(const Session& session, std::optional<memory::Position> expected);

// The writer's hold on a session: room for its tokens and the second state slot.
// Destroying it gives both back; the log keeps what it has.
class SessionWork {
 public:
  // Room for all that the session takes until it stands at `end`. ABORTED, RESOURCE_EXHAUSTED (as
  // SessionMemory::ReserveFor says), FAILED_PRECONDITION (its adapter is not loaded): nothing has
  // changed. Precondition: the session is awake.
  static absl::StatusOr<SessionWork> Begin(std::shared_ptr<Session> session, memory::Position end,
                                           int32_t query_chunk_tokens);
  SessionWork(SessionWork&&) = default;
  SessionWork& operator=(SessionWork&&) = delete;
  ~SessionWork();

 private:
  explicit SessionWork(std::shared_ptr<Session> session) : session_(std::move(session)) {}

  std::shared_ptr<Session> session_;  // null after a move
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SESSION_H_
