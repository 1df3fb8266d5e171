// A scripted engine for tests of the edge.
//
// What: an Engine with a loop thread that runs every callback, as the real one does, and
//   nothing else: the test publishes events, progress and results.
// Thread safety: thread-safe unless told otherwise. Ownership: owns its loop. Preconditions: the
//   public switches are set before the calls that they concern.
#ifndef EIDETIC_SERVER_FAKE_ENGINE_H_
#define EIDETIC_SERVER_FAKE_ENGINE_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "engine/engine.h"
#include "server/fake_model.h"

namespace eidetic {

class FakeEngine : public Engine {
 public:
  FakeEngine();
  ~FakeEngine() override;

  // Runs `task` on the loop's thread, after what was posted before.
  void Post(std::function<void()> task);
  // Waits until the loop has run everything posted so far.
  void Settle();
  // Waits up to 10 s; false when `done` did not come true.
  static bool WaitFor(const std::function<bool()>& done);

  // The script. A status that is not OK is the answer of the calls that it names.
  absl::Status generate_status, append_status;
  bool hold_generate = false;  // Generate answers only at ReleaseGenerate
  bool hold_drain = false;
  bool has_chat = true;
  std::vector<SampledToken> score_result;
  SearchResult search_result;
  ExportedSession export_result;
  bool hold_score = false;  // Score answers CANCELLED once it is cancelled
  EngineLimits engine_limits;

  void ReleaseGenerate();
  // Of the last Generate, made anew by each; null before.
  std::shared_ptr<GenerationRecord> record() const;
  GenerateSpec last_spec() const;
  std::vector<std::vector<TokenId>> appended() const;
  // Tells the append that is open how far the session is computed.
  void Progress(memory::Position computed);
  bool writer_taken() const;
  void set_heartbeat(absl::Time time);

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
             std::vector<TokenId> tokens, int32_t top_logprobs,
             std::shared_ptr<std::atomic<bool>> cancelled,
             Done<std::vector<SampledToken>> done) override;
  void Search(SessionName session, std::vector<TokenId> tokens, int32_t limit,
              std::shared_ptr<std::atomic<bool>> cancelled, Done<SearchResult> done) override;
  void LoadAdapter(AdapterName name, std::string folder, Done<AdapterInfo> done) override;
  void UnloadAdapter(AdapterName name, std::function<void(absl::Status)> done) override;
  void ListAdapters(std::string tenant, std::string after, int32_t limit,
                    Done<std::vector<AdapterInfo>> done) override;
  void CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done) override;
  void SetQuotas(TenantQuotas quotas) override {}
  EngineStats Stats() const override;
  const EngineLimits& limits() const override { return engine_limits; }
  const HybridModel& model() const override { return model_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const ChatFormat* chat_format() const override { return has_chat ? &chat_ : nullptr; }

 private:
  class Writer;

  void Run();
  absl::StatusOr<SessionInfo> Find(const SessionName& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FakeChatTokenizer tokenizer_;
  ChatFormat chat_;
  FakeModel model_;

  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, SessionInfo> sessions_ ABSL_GUARDED_BY(mutex_);
  std::map<AdapterName, AdapterInfo> adapters_ ABSL_GUARDED_BY(mutex_);
  std::map<SnapshotName, SnapshotInfo> snapshots_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<GenerationRecord> record_ ABSL_GUARDED_BY(mutex_);
  GenerateSpec spec_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> held_generate_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::vector<TokenId>> appended_ ABSL_GUARDED_BY(mutex_);
  std::function<void(memory::Position, memory::Position)> progress_ ABSL_GUARDED_BY(mutex_);
  bool writer_taken_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Time> heartbeat_ ABSL_GUARDED_BY(mutex_);
  std::thread loop_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_FAKE_ENGINE_H_
