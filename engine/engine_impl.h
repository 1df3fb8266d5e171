// The engine behind Engine: posts every call to the loop's thread.
//
// Thread safety: as Engine. Ownership: owns everything but arena and observer.
// Preconditions: the parts were checked by CreateEngine.
#ifndef EIDETIC_ENGINE_ENGINE_IMPL_H_
#define EIDETIC_ENGINE_ENGINE_IMPL_H_

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/adapter_table.h"
#include "engine/durable/ledger.h"
#include "engine/durable/session_journal.h"
#include "engine/durable/session_keeper.h"
#include "engine/engine_parts.h"
#include "engine/scheduler/generations.h"
#include "engine/scheduler/mailbox.h"
#include "engine/scheduler/room_line.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/step_loop.h"
#include "engine/scheduler/tenant_book.h"
#include "engine/session_operations.h"
#include "engine/session_table.h"

namespace eidetic {

class EngineImpl : public Engine {
 public:
  explicit EngineImpl(EngineParts parts);
  // Reads what the journal has, then starts the loop. Called once.
  absl::Status Start();
  // Waits for the step under way. Not to be called from a callback.
  ~EngineImpl() override;

  void CreateSession(SessionName name, memory::SpanSettings settings, std::string adapter,
                     std::optional<absl::Duration> expire_after, std::string request_id,
                     std::string fingerprint, Done<SessionInfo> done) override;
  void GetSession(SessionName name, Done<SessionInfo> done) override;
  void ListSessions(std::string tenant, std::string after, int32_t limit,
                    Done<std::vector<SessionInfo>> done) override;
  void DeleteSession(SessionName name, std::optional<memory::Position> expected_position,
                     std::function<void(absl::Status)> done) override;
  void ForkSession(SessionName parent, SessionName child,
                   std::function<void(memory::SpanSettings*)> edit,
                   std::optional<AdapterChange> adapter, std::string request_id,
                   std::string fingerprint, std::optional<memory::Position> expected_position,
                   Done<SessionInfo> done) override;
  void RewindSession(SessionName name, memory::Position position,
                     std::optional<memory::Position> expected_position,
                     Done<SessionInfo> done) override;
  void SnapshotSession(SnapshotName snapshot, std::optional<memory::Position> expected_position,
                       Done<SnapshotInfo> done) override;
  void ListSnapshots(SessionName name, std::string after, int32_t limit,
                     Done<std::vector<SnapshotInfo>> done) override;
  void DeleteSnapshot(SnapshotName snapshot, std::function<void(absl::Status)> done) override;
  void RestoreSession(SnapshotName snapshot, std::optional<memory::Position> expected_position,
                      Done<SessionInfo> done) override;
  void ExportSession(SessionName name, std::optional<std::string> snapshot,
                     Done<ExportedSession> done) override;
  void ImportSession(SessionName name, ExportedSession exported, Done<SessionInfo> done) override;
  void OpenAppend(SessionName name,
                  std::function<void(memory::Position, memory::Position)> progress,
                  Done<std::shared_ptr<AppendStream>> done) override;
  void Generate(GenerateSpec spec, Done<std::shared_ptr<GenerationReader>> done) override;
  void Score(std::optional<SessionName> session, memory::SpanSettings settings, std::string tenant,
             std::vector<memory::TokenId> tokens, int32_t top_logprobs,
             std::shared_ptr<std::atomic<bool>> cancelled,
             Done<std::vector<SampledToken>> done) override;
  void Search(SessionName session, std::vector<memory::TokenId> tokens, int32_t limit,
              std::shared_ptr<std::atomic<bool>> cancelled, Done<SearchResult> done) override;

  void LoadAdapter(AdapterName name, std::string folder, Done<AdapterInfo> done) override;
  void UnloadAdapter(AdapterName name, std::function<void(absl::Status)> done) override;
  void ListAdapters(std::string tenant, std::string after, int32_t limit,
                    Done<std::vector<AdapterInfo>> done) override;

  void CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done) override;

  void SetQuotas(TenantQuotas quotas) override;
  EngineStats Stats() const override;
  const EngineLimits& limits() const override { return context_.limits; }
  const HybridModel& model() const override { return *parts_.model; }
  const Tokenizer& tokenizer() const override { return *parts_.tokenizer; }
  const ChatFormat* chat_format() const override { return chat_format_ ? &*chat_format_ : nullptr; }

 private:
  // Runs `work`, which gives a StatusOr<T>, on the loop's thread, and hands on what it gave, once
  // what it changed is durable.
  template <typename T, typename Work>
  void Post(Done<T> done, Work work) {
    mailbox_->Post(
        [this, done = std::move(done), work = std::move(work)](absl::Status alive) mutable {
          if (!alive.ok()) return done(alive);
          Tell(std::move(done), work());
        });
  }
  // Hands on `result` once what is recorded so far is durable.
  template <typename T>
  void Tell(Done<T> done, absl::StatusOr<T> result) {
    // A refusal for want of room says nothing of what is recorded, and waits for no disk.
    if (absl::IsUnavailable(result.status())) return done(std::move(result));
    ledger_.Tell(
        [done = std::move(done), result = std::move(result)](const absl::Status& durable) mutable {
          done(durable.ok() ? std::move(result) : absl::StatusOr<T>(durable));
        });
  }
  // The same for work that changes nothing.
  template <typename T, typename Work>
  void PostRead(Done<T> done, Work work) {
    mailbox_->Post([done = std::move(done), work = std::move(work)](absl::Status alive) mutable {
      done(alive.ok() ? work() : absl::StatusOr<T>(alive));
    });
  }

  // As Post, once the session has its memory: it may have to be loaded.
  template <typename T, typename Work>
  void PostAwake(SessionName session, Done<T> done, Work work);
  // The loop's part of it; no session: none needs to be awake. While there is no memory it waits:
  // `work` may be tried several times.
  template <typename T, typename Work>
  void Answer(const std::optional<SessionName>& session, Done<T> done, Work work);
  StartTier StartOf(const std::optional<SessionName>& name) const;
  // As SessionKeeper::WhenAwake; at once without a keeper.
  void WhenAwake(const SessionName& session, MemoryNeed need, SessionKeeper::Then then);
  std::unique_ptr<SessionKeeper> MakeKeeper();
  bool MakeRoom(int64_t pages);

  // A branch of a session, or an empty one, with `tokens` at its end: what Score and
  // Search work on.
  struct Probe {
    std::shared_ptr<Session> branch;
    memory::Position begin = 0;  // of the tokens
    SessionWork work;
  };
  absl::StatusOr<Probe> MakeProbe(const std::optional<SessionName>& session,
                                  const memory::SpanSettings& settings, const std::string& tenant,
                                  const std::vector<memory::TokenId>& tokens);
  // What `begin` begins, once the session is awake and there is memory; as RoomLine::Request.
  template <typename T, typename Begin>
  void PostProbe(std::optional<SessionName> session, Begin begin, Done<T> done) {
    mailbox_->Post([this, session = std::move(session), begin = std::move(begin),
                    done = std::move(done)](absl::Status alive) mutable {
      if (!alive.ok()) return done(alive);
      line_.Begin({.session = std::move(session),
                   .need = MemoryNeed::kWhole,  // it is forked
                   .begin = std::move(begin),
                   .refuse = [done](const absl::Status& why) { done(why); }});
    });
  }
  template <typename T>
  static absl::Status TellUnlessShort(const absl::Status& why, const Done<T>& done) {
    if (memory::IsShortage(why)) return why;
    done(why);
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<AppendStream>> StartAppend(
      const SessionName& name, std::function<void(memory::Position, memory::Position)> progress);
  // OK: `done` is told, now or later; else a shortage.
  absl::Status StartSearch(const SessionName& session, const std::vector<memory::TokenId>& tokens,
                           int32_t limit, std::shared_ptr<std::atomic<bool>> cancelled,
                           Done<SearchResult> done);
  void OnTurn();
  void UpdateStats(absl::Time now);
  void DeleteExpired();
  // Gives room back before it is asked for.
  void KeepMarks();
  void CountTiers();
  RoomLine::Parts LineParts();
  // Whether memory may come free that nobody has to ask for.
  bool RoomMayCome() const;
  RoomLine::Signs RoomSigns();
  // The tenant's adapter of this id, which is loaded; null for the empty id.
  absl::StatusOr<AdapterRef> FindAdapter(const std::string& tenant, const std::string& id) const;
  absl::Status Delete(const SessionName& name, std::optional<memory::Position> expected_position);
  // FAILED_PRECONDITION when the journal belongs to another model.
  absl::Status BindJournal();
  // Makes sessions and requests what the journal says.
  absl::Status Restore();
  // While storage fails: ends all work once, then tries again and again to go on.
  void WatchStorage(absl::Time now);

  EngineParts parts_;
  const std::optional<ChatFormat> chat_format_;
  EngineObserver silent_;
  Ledger ledger_;
  SessionJournal session_journal_;
  TenantBook tenants_;
  const EngineContext context_;
  memory::MemoryPool pool_;
  const std::shared_ptr<Mailbox> mailbox_;  // shared with readers and streams, which may outlive us
  AdapterTable adapters_;
  SessionTable sessions_;
  SessionOperations operations_;
  StepLoop loop_;
  Generations generations_;
  RoomLine line_;
  const std::unique_ptr<SessionKeeper> keeper_;  // null: sessions have no checkpoints
  absl::Time last_sweep_, last_expiry_;
  absl::Time last_marks_ = absl::InfinitePast();
  int64_t expired_ = 0;
  std::array<int64_t, 3> tiers_ = {};  // sessions, by SessionTier
  bool storage_failed_ = false;
  absl::Time last_recovery_;

  mutable absl::Mutex stats_mutex_;
  EngineStats stats_ ABSL_GUARDED_BY(stats_mutex_);

  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ENGINE_IMPL_H_
