// All sessions by name, and the sessions without one.
//
// What: create, find, list, delete, fork; creations may be repeated by request id.
// Thread safety: none; the engine's loop owns it. Ownership: shares sessions with
//   the work on them; borrows the pool, which must outlive every session.
// Preconditions: none; requests are checked here.
#ifndef EIDETIC_ENGINE_SESSION_TABLE_H_
#define EIDETIC_ENGINE_SESSION_TABLE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/durable/session_journal.h"
#include "engine/engine.h"
#include "engine/session.h"

namespace eidetic {

// A creation that may be asked for again, as the journal keeps it.
struct RestoredCreation {
  std::string tenant, request_id;
  CreationRecord record;
};

// Creations remembered at once; the oldest are forgotten first.
inline constexpr size_t kMaxRememberedCreations = size_t{1} << 16;

class SessionTable {
 public:
  struct Rules {
    int32_t block_tokens = 0;
    int32_t query_chunk_tokens = 0;
    int32_t trained_context = 0;
    int32_t max_sessions = 0;
    absl::Duration request_retention;
    absl::Duration expire_after;  // as EngineLimits
    // Whether a tenant may have one more; null: any may.
    std::function<absl::Status(const std::string& tenant)> check_quota = nullptr;
  };
  SessionTable(memory::MemoryPool* pool, const Rules& rules, SessionJournal* journal,
               std::function<absl::Time()> now)
      : pool_(pool), rules_(rules), journal_(journal), now_(std::move(now)) {}

  // What a client sends to make a session once, however often it asks.
  struct Creation {
    SessionName name;
    std::string request_id;  // empty: not to be repeated
    std::string fingerprint;
    // None: the rules'. A fork has its parent's.
    std::optional<absl::Duration> expire_after = std::nullopt;
    // Null: the base model. A fork has its parent's.
    AdapterRef adapter = nullptr;
  };
  // What a fork goes on with, in place of its parent's adapter; as AdapterChange.
  struct NewAdapter {
    AdapterRef adapter;
    bool reingest = false;
  };
  // As Engine::CreateSession, ForkSession, GetSession, ListSessions and DeleteSession say.
  absl::StatusOr<SessionInfo> Create(const Creation& creation,
                                     const memory::SettingsHistory& settings);
  absl::StatusOr<SessionInfo> Fork(const SessionName& parent, const Creation& creation,
                                   const std::function<void(memory::SpanSettings*)>& edit,
                                   const std::optional<NewAdapter>& adapter,
                                   std::optional<memory::Position> expected_position);
  // DATA_LOSS for one that is damaged.
  absl::StatusOr<std::shared_ptr<Session>> Find(const SessionName& name) const;
  // Also of a damaged one.
  absl::StatusOr<SessionInfo> Info(const SessionName& name) const;
  // Gives `session` memory if it has none; RESOURCE_EXHAUSTED when there is none to give.
  absl::Status Wake(Session* session) const { return session->Wake(pool_); }
  // Both.
  absl::StatusOr<std::shared_ptr<Session>> FindAwake(const SessionName& name) const;
  std::vector<SessionInfo> List(const std::string& tenant, const std::string& after,
                                int32_t limit) const;
  absl::Status Delete(const SessionName& name, std::optional<memory::Position> expected_position);

  // Sessions without a name: empty, and with the past of `parent`, whose sleep it shares;
  // `settings` hold for new tokens.
  absl::StatusOr<std::shared_ptr<Session>> MakeEmpty(const memory::SettingsHistory& settings) const;
  absl::StatusOr<std::shared_ptr<Session>> Branch(const Session& parent,
                                                  const memory::SpanSettings& settings) const;

  // Replaces everything by what the journal has. A session that was here before keeps of its
  // memory what its log still says. Precondition: nothing works on a session.
  void Restore(std::vector<std::shared_ptr<Session>> sessions, std::vector<DamagedSession> damaged,
               std::vector<RestoredCreation> creations);
  // Sessions that were found damaged so far.
  int64_t damage_found() const { return damage_found_; }

  // Every session writes to a new log from now on.
  void BeginNewLogs();

  // Moves distant blocks of sessions to the host, those of the session that was used longest
  // ago first, until about `pages` pages are free on the device. Whether any was moved.
  bool MakeRoom(int64_t pages);

  void ForEach(const std::function<void(const std::shared_ptr<Session>&)>& visit) const {
    for (const auto& [name, session] : sessions_) visit(session);
  }

  SessionTier TierOf(const Session& session) const;
  SessionInfo InfoOf(const Session& session) const;
  static SessionInfo InfoOf(const DamagedSession& session);
  // Forgets creations and generations that nobody may ask for any more.
  void Expire();
  // Sessions that rested as long as they may; the journal hears of the others' last use.
  std::vector<SessionName> Expired();
  size_t size() const { return sessions_.size(); }

 private:
  struct Made {
    SessionName name;
    std::string fingerprint;
    absl::Time when;
  };
  using CreationKey = std::pair<std::string, std::string>;  // tenant, request id

  // The session that `creation` made before; none when it is new.
  absl::StatusOr<std::optional<SessionInfo>> MadeBefore(const Creation& creation) const;
  absl::Status CheckNew(const SessionName& name) const;
  absl::Status CheckSettings(const memory::SettingsHistory& settings) const;
  // The fork's session, which may have another adapter than its parent.
  absl::StatusOr<std::shared_ptr<Session>> ForkWith(const Session& parent,
                                                    const memory::SpanSettings& settings,
                                                    const std::optional<NewAdapter>& adapter) const;
  std::shared_ptr<Session> Assemble(const memory::SettingsHistory& settings,
                                    std::unique_ptr<memory::SessionMemory> memory) const;
  int64_t BytesOf(const memory::SessionMemory& memory) const;
  void Remember(const CreationKey& key, Made made);
  void ForgetOldestCreation();
  SessionInfo Insert(const Creation& creation, std::shared_ptr<Session> session);

  memory::MemoryPool* pool_;
  Rules rules_;
  SessionJournal* journal_;
  std::function<absl::Time()> now_;
  std::map<SessionName, std::shared_ptr<Session>> sessions_;
  std::map<SessionName, DamagedSession> damaged_;  // none of them is in sessions_
  int64_t damage_found_ = 0;
  std::map<CreationKey, Made> made_;
  // Keys of made_ by age.
  std::multimap<absl::Time, CreationKey> made_order_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SESSION_TABLE_H_
