// The engine: sessions, a model, and the loop that steps it.
//
// What: everything below gRPC. One loop thread owns all sessions; calls are posted
//   to it and run between steps, so nothing here needs a lock on a session:
//       plan = Plan(snapshot, limits); model.Submit(plan); Apply(plan, model.Await())
// Thread safety: thread-safe. Callbacks run on a thread of the engine's, in the order of what they
//   tell of: they must not block and may call the engine again.
// Ownership: owns model, memory, sessions and the loop; borrows the backend.
//   Callbacks that are outstanding at destruction get CANCELLED.
// Preconditions: requests were validated for form (ids within the vocabulary, sampling
//   values in range); what needs the session's state is checked here.
#ifndef EIDETIC_ENGINE_ENGINE_H_
#define EIDETIC_ENGINE_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/backend/backend.h"
#include "engine/exported_session.h"
#include "engine/layers/hybrid_model.h"
#include "engine/scheduler/generation_record.h"
#include "engine/scheduler/plan.h"
#include "engine/scheduler/tenant_quota.h"
#include "engine/session_name.h"
#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"
#include "memory/session_memory.h"
#include "memory/span_settings.h"

namespace eidetic {

// Every limit of the engine; each is a flag of the server.
struct EngineLimits {
  PlanLimits plan;
  memory::MemoryLimits memory;
  int32_t block_tokens = 32;         // S
  int32_t query_chunk_tokens = 512;  // C
  int32_t max_sessions = 4096;
  int32_t max_sequences = 256;         // running or queued requests
  int32_t max_tenant_sequences = 192;  // of one tenant: the others find room
  // For memory, while others may give some back; then it is answered RESOURCE_EXHAUSTED.
  absl::Duration max_memory_wait = absl::Seconds(30);
  int32_t max_generated_tokens = 65536;  // of one request
  int32_t max_score_tokens = 65536;      // of one score or search
  // A stream further behind pauses its sequence; what is not durable yet it can not have.
  int32_t max_reader_lag_events = 256;
  // Recorded and not durable: more, and what would change something is answered UNAVAILABLE.
  int64_t max_journal_waiting_bytes = int64_t{64} << 20;
  int32_t max_requests_per_session = 256;  // remembered request ids
  absl::Duration request_retention = absl::Hours(24);
  int32_t max_snapshots_per_session = 64;
  int32_t max_adapters = 256;                      // of all tenants
  int64_t max_adapter_bytes = int64_t{256} << 20;  // of one's file
  // Of rest, then a session that was made without a time of its own is deleted; 0: never.
  absl::Duration expire_after = absl::ZeroDuration();
  // Shares of a tier's pages. Fuller than `high`, sessions that rested longest give pages back
  // until it is as full as `low`: the device's to the host, then, and the host's, to the disk.
  struct Marks {
    double device_high = 0.95, device_low = 0.90;
    double host_high = 0.95, host_low = 0.90;
  } marks;
  // When sessions' memory goes to the disk, and when they sleep.
  struct Keeping {
    absl::Duration checkpoint_idle = absl::Seconds(30);  // of rest, then it is checkpointed
    int64_t checkpoint_tokens = 65536;  // computed since its last one, it is checkpointed at work
    absl::Duration sleep_after = absl::Minutes(10);  // of rest; 0: never, unless memory runs out
    int32_t max_checkpoints_under_way = 4;           // each holds a state in main memory
    absl::Duration checkpoint_retry = absl::Seconds(5);  // after one that failed
    int32_t max_loads_under_way = 4;                     // a thread each
  } keeping;
};

// Where a session's memory is, its furthest part.
enum class SessionTier : uint8_t { kDevice, kHost, kAsleep };

struct SessionInfo {
  SessionName name;
  memory::SpanSettings settings;
  absl::Time create_time, update_time;
  memory::Position position = 0, computed = 0;
  bool busy = false;
  int64_t memory_bytes = 0;
  int64_t host_bytes = 0;  // of them, on the host
  int64_t disk_bytes = 0;  // of its checkpoint
  SessionTier tier = SessionTier::kDevice;
  absl::Time last_use_time = {};
  absl::Duration expire_after = absl::ZeroDuration();  // of rest; 0: never
  // False once it went on here after another build or kind of device had computed it.
  bool bit_identical = true;
  std::string adapter = "";  // of its tenant; empty: the base model computes it
  // Not empty: its records are damaged, and why. Nothing else is known of it, and it can only be
  // deleted: everything else gives DATA_LOSS, and its name is not free.
  std::string damage = "";
};

struct AdapterInfo {
  AdapterName name;
  std::string folder, content_hash;
  absl::Time create_time = {};
  int64_t memory_bytes = 0;  // on the device
  int64_t users = 0;         // sessions and requests that hold it
  // Not empty: it was loaded once, and is not since the server's start, and why.
  std::string problem = "";
};

// A fork that goes on with another adapter.
struct AdapterChange {
  std::string adapter;    // of the same tenant; empty: the base model
  bool reingest = false;  // compute the past again with it; else only an empty past may change
};

struct SnapshotInfo {
  SnapshotName name;
  memory::Position position = 0;
  absl::Time create_time;
};

// Where a request found what its session remembers, or a part of it.
enum class StartTier : uint8_t {
  kDevice,
  kHost,
  kDisk,      // it slept, and was loaded or computed again
  kComputed,  // nowhere: nothing of its past had been computed
};

struct GenerateSpec {
  std::optional<SessionName> session;  // none: a throw-away session of `tenant`
  std::string tenant;
  memory::SpanSettings settings;  // of the throw-away session
  std::string adapter = "";       // of the throw-away session's tenant; empty: the base model
  std::vector<memory::TokenId> prompt;
  SamplingParams sampling;       // seed is set from `seed`
  std::optional<uint64_t> seed;  // drawn when unset
  int32_t max_tokens = 256;
  std::vector<std::string> stop_strings;
  std::vector<memory::TokenId> stop_tokens;
  bool ignore_end_tokens = false;
  bool token_blocks = false;
  std::string request_id;   // empty: the request can not be taken up again
  std::string fingerprint;  // of the request's body; the same id with another is refused
  int64_t resume_from = 0;
  std::optional<memory::Position> expected_position;
  // The engine's own: when it got the request, and where its session was then.
  absl::Time arrival = absl::InfinitePast();
  StartTier start = StartTier::kComputed;
};

// Numbers that metrics are made from. Counters rise from the engine's start.
struct EngineStats {
  int64_t running = 0, queued = 0, sessions = 0;
  int64_t pages_used = 0, pages_total = 0;
  int64_t host_pages_used = 0, host_pages_total = 0;  // in pinned host memory
  int64_t pages_moved = 0, moved_bytes = 0;           // counters: from the device to the host
  int64_t promoted_pages = 0;                         // of pages_used: copies of pages of the host
  // Counters: blocks that spans chose in sessions with pages on the host, by where they were
  // read; copies that came into use and that were given up; bytes copied to the device for them.
  int64_t device_choices = 0, host_choices = 0;
  int64_t pages_promoted = 0, pages_dropped = 0;
  int64_t promoted_bytes = 0;
  int64_t tiles_used = 0, tiles_total = 0;
  int64_t slots_used = 0, slots_total = 0;
  int64_t sessions_asleep = 0;
  // By tier, as SessionInfo, some time ago.
  int64_t device_sessions = 0, host_sessions = 0, disk_sessions = 0;
  // Counters: sessions that slept because they rested long, and because others needed the room.
  int64_t sessions_slept = 0, sessions_pushed = 0;
  int64_t sessions_expired = 0;  // a counter
  int64_t integrity_errors = 0;  // counter: sessions and checkpoints that were found damaged
  // Counter: tokens that were computed again, since their session went back, or its memory was
  // lost or could not be loaded.
  int64_t recomputed_tokens = 0;
  int64_t state_point_bytes = 0;  // of state checkpoints, in the host's memory
  // Counters: checkpoints that are durable, that could not be written, that could not be loaded
  // (those sessions are computed again from their logs); sessions loaded; bytes of extents.
  int64_t checkpoints_written = 0, checkpoints_failed = 0, checkpoints_refused = 0;
  int64_t sessions_loaded = 0;
  int64_t checkpoint_bytes = 0;
  int64_t loaded_bytes = 0;  // a counter: read from the disk by sessions that woke
  int64_t stored_bytes = 0;  // of extent files
  // The journal's. Counters: syncs, bytes of keys and values, seconds that syncs took; and what
  // is not durable yet.
  int64_t journal_commits = 0, journal_bytes = 0;
  double journal_sync_seconds = 0;
  int64_t journal_waiting_bytes = 0;
  absl::Time heartbeat;  // the loop's last turn
};

// Hears of what happens, for metrics. Called on the loop's thread but for OnCommit; must not block.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  struct Step {
    double seconds = 0;
    int64_t sequences = 0, decode_tokens = 0, prefill_tokens = 0;
    RetrievalStats retrieval;
  };
  virtual void OnStep(const Step& step) {}  // before its tokens are handed on
  virtual void OnStepApplied() {}           // after it
  virtual void OnQueued(double seconds) {}  // from a request's arrival to its first step
  // From a request's arrival to its first token.
  virtual void OnFirstToken(StartTier start, double seconds) {}
  virtual void OnInterToken(double seconds) {}
  virtual void OnWake(double seconds) {}  // a session that slept was loaded
  // From the journal's getting what happened until it is durable. On the journal's thread.
  virtual void OnCommit(double seconds) {}
};

// A writer's hold on a session while it appends. Destroying it lets the session go;
// tokens already acknowledged stay. Thread-safe.
class AppendStream {
 public:
  virtual ~AppendStream() = default;
  // Adds one append of the log. `done` gets the session's new position, or why
  // nothing was added (FAILED_PRECONDITION, RESOURCE_EXHAUSTED).
  virtual void Append(std::vector<memory::TokenId> tokens,
                      std::optional<memory::Position> expected_position,
                      std::function<void(absl::StatusOr<memory::Position>)> done) = 0;
  // Calls `done` once everything appended is computed.
  virtual void Drain(std::function<void(absl::Status)> done) = 0;
};

class Engine {
 public:
  struct Options {
    EngineLimits limits;
    EngineObserver* observer = nullptr;  // outlives the engine; may be null
    // Where sessions are kept so that they outlive the process; empty: they do not.
    std::filesystem::path data_folder = {};
    // Adapters are loaded from its folders, one a tenant; empty: none can be loaded.
    std::filesystem::path adapter_folder = {};
  };
  // Loads the model folder (weights and tokenizer) and starts the loop.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const std::filesystem::path& model_folder,
                                                        Backend* backend, const Options& options);
  // For measurement only: the model of a config file with random weights of `seed`, and the
  // tokenizer of any folder, which may know fewer tokens than the model.
  static absl::StatusOr<std::unique_ptr<Engine>> CreateRandom(
      const std::filesystem::path& config_file, uint64_t seed,
      const std::filesystem::path& tokenizer_folder, Backend* backend, const Options& options);
  virtual ~Engine() = default;

  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // ALREADY_EXISTS, RESOURCE_EXHAUSTED, INVALID_ARGUMENT (settings). A repeated request_id
  // (not empty) with the same fingerprint gives the session it made before. A session that nothing
  // used for `expire_after` (0: never; none: the limit's) is deleted, soon after. `adapter`, of the
  // session's tenant, computes it; empty: the base model. NOT_FOUND; FAILED_PRECONDITION when it
  // is not loaded.
  virtual void CreateSession(SessionName name, memory::SpanSettings settings, std::string adapter,
                             std::optional<absl::Duration> expire_after, std::string request_id,
                             std::string fingerprint, Done<SessionInfo> done) = 0;
  virtual void GetSession(SessionName name, Done<SessionInfo> done) = 0;
  // Sessions of `tenant` whose id is greater than `after`, ascending, at most `limit`.
  virtual void ListSessions(std::string tenant, std::string after, int32_t limit,
                            Done<std::vector<SessionInfo>> done) = 0;
  // ABORTED while a request writes to it.
  virtual void DeleteSession(SessionName name, std::optional<memory::Position> expected_position,
                             std::function<void(absl::Status)> done) = 0;
  // `edit` changes the parent's settings into the child's. Of a session that sleeps nothing is
  // read. `adapter`: none keeps the parent's. FAILED_PRECONDITION for another one of a parent with
  // a past that is not to be computed again.
  virtual void ForkSession(SessionName parent, SessionName child,
                           std::function<void(memory::SpanSettings*)> edit,
                           std::optional<AdapterChange> adapter, std::string request_id,
                           std::string fingerprint,
                           std::optional<memory::Position> expected_position,
                           Done<SessionInfo> done) = 0;

  // Cuts the log to `position`, forgets the requests that reach beyond. OUT_OF_RANGE, ABORTED.
  virtual void RewindSession(SessionName name, memory::Position position,
                             std::optional<memory::Position> expected_position,
                             Done<SessionInfo> done) = 0;
  // Names the session's present point. ALREADY_EXISTS, RESOURCE_EXHAUSTED.
  virtual void SnapshotSession(SnapshotName snapshot,
                               std::optional<memory::Position> expected_position,
                               Done<SnapshotInfo> done) = 0;
  // As ListSessions.
  virtual void ListSnapshots(SessionName name, std::string after, int32_t limit,
                             Done<std::vector<SnapshotInfo>> done) = 0;
  virtual void DeleteSnapshot(SnapshotName snapshot, std::function<void(absl::Status)> done) = 0;
  // Takes the session back to its snapshot's point. ABORTED.
  virtual void RestoreSession(SnapshotName snapshot,
                              std::optional<memory::Position> expected_position,
                              Done<SessionInfo> done) = 0;
  // The session's log, or that of its snapshot when one is named; durable when it is given.
  virtual void ExportSession(SessionName name, std::optional<std::string> snapshot,
                             Done<ExportedSession> done) = 0;
  // As CreateSession, with the past of `exported`. FAILED_PRECONDITION when the tenant has no
  // adapter of its adapter's content.
  virtual void ImportSession(SessionName name, ExportedSession exported,
                             Done<SessionInfo> done) = 0;

  // Takes the session's writer. `progress` (position, computed) is called after each
  // step that advanced it, until the loop learns that the stream was destroyed.
  virtual void OpenAppend(SessionName name,
                          std::function<void(memory::Position, memory::Position)> progress,
                          Done<std::shared_ptr<AppendStream>> done) = 0;

  // Starts, attaches to, replays or takes up a generation. When the last reader goes,
  // work stops at the next step.
  virtual void Generate(GenerateSpec spec, Done<std::shared_ptr<GenerationReader>> done) = 0;

  // Log-probabilities of `tokens` after the session's past (or after nothing: then the first
  // token has none and is left out). Works on a fork: changes nothing. Setting *cancelled stops it.
  // `tenant` is who asks.
  virtual void Score(std::optional<SessionName> session, memory::SpanSettings settings,
                     std::string tenant, std::vector<memory::TokenId> tokens, int32_t top_logprobs,
                     std::shared_ptr<std::atomic<bool>> cancelled,
                     Done<std::vector<SampledToken>> done) = 0;
  // The blocks that `tokens` would retrieve, with text, by falling mass: passages merged as
  // for answers (at most `limit`), and the single blocks (at most 4 * limit).
  struct SearchResult {
    std::vector<PassageUse> passages;
    std::vector<SpanUse> blocks;
  };
  virtual void Search(SessionName session, std::vector<memory::TokenId> tokens, int32_t limit,
                      std::shared_ptr<std::atomic<bool>> cancelled, Done<SearchResult> done) = 0;

  // Loads the adapter that lies in folder `folder` of the tenant's adapters. The same content under
  // the same name again: nothing happens. FAILED_PRECONDITION: another content has the name, or
  // the server has no folder for adapters; NOT_FOUND; INVALID_ARGUMENT naming file, field or
  // tensor; RESOURCE_EXHAUSTED. Reads the files on the caller's thread.
  virtual void LoadAdapter(AdapterName name, std::string folder, Done<AdapterInfo> done) = 0;
  // NOT_FOUND; FAILED_PRECONDITION while sessions or requests hold it.
  virtual void UnloadAdapter(AdapterName name, std::function<void(absl::Status)> done) = 0;
  // As ListSessions.
  virtual void ListAdapters(std::string tenant, std::string after, int32_t limit,
                            Done<std::vector<AdapterInfo>> done) = 0;

  // Checkpoints every session: `done` gets OK once all are durable, or what is missing: at the
  // deadline, or when one could not be written. Without a data folder: OK.
  virtual void CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done) = 0;

  // What tenants may take, from now on. What was admitted goes on.
  virtual void SetQuotas(TenantQuotas quotas) = 0;

  virtual EngineStats Stats() const = 0;
  virtual const EngineLimits& limits() const = 0;
  virtual const HybridModel& model() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  // Null when the model has no chat form.
  virtual const ChatFormat* chat_format() const = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ENGINE_H_
