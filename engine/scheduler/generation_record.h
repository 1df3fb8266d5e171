// One request's answer as it grows: what was told, and who listens.
//
// What: an append-only list of what is durable, written by the engine's ledger and read by
//   any number of readers, each at its own pace: a reader that comes back starts after the
//   last event it saw.
// Thread safety: thread-safe. Notifications run on the writer's thread, or on
//   the thread that calls NotifyWhenReady; they must not block.
// Ownership: shared (std::shared_ptr); a reader keeps its record alive.
// Preconditions: the start is published first, or an error; nothing after a finish or an error.
#ifndef EIDETIC_ENGINE_SCHEDULER_GENERATION_RECORD_H_
#define EIDETIC_ENGINE_SCHEDULER_GENERATION_RECORD_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "engine/backend/backend.h"
#include "memory/ids.h"

namespace eidetic {

// A stretch of the past that an answer drew on; see Passage in content.proto.
struct PassageUse {
  memory::Position begin = 0, end = 0;
  double mass = 0;
  std::string text;
};

struct GenerationStart {
  uint64_t seed = 0;
  memory::Position position = 0;  // after the prompt
  int32_t prompt_tokens = 0;
};

struct TokenEvent {
  int64_t sequence_number = 0;    // 1, 2, ...
  memory::Position position = 0;  // of the token in the session
  SampledToken token;
  std::string text;                        // text that became certain
  std::vector<memory::BlockIndex> blocks;  // on request
};

enum class FinishReason : uint8_t { kStopToken, kStopString, kMaxTokens };

struct GenerationFinish {
  FinishReason reason = FinishReason::kMaxTokens;
  std::string stop_string;
  std::optional<memory::TokenId> stop_token;
  std::string text;  // held back until now
  int32_t prompt_tokens = 0, generated_tokens = 0;
  memory::Position position = 0;
  std::vector<PassageUse> passages;
};

// The last event is a finish or, when the work failed, an error.
using GenerationEvent = std::variant<GenerationStart, TokenEvent, GenerationFinish, absl::Status>;

class GenerationReader;

class GenerationRecord : public std::enable_shared_from_this<GenerationRecord> {
 public:
  // `on_reader_change` is called (not under a lock) when a reader catches up or
  // leaves, so that the engine's loop looks again.
  explicit GenerationRecord(std::function<void()> on_reader_change);

  // An event will be published, once it is durable: it counts as one that no reader has taken.
  void Announce() { ++announced_; }
  void Publish(GenerationEvent event);
  // The same of one that was announced. After an end it has nobody to tell.
  void PublishAnnounced(GenerationEvent event);

  // A reader that gets the start, then tokens with sequence_number > `after`, then the end.
  std::unique_ptr<GenerationReader> Attach(int64_t after);

  bool ended() const;      // a finish or an error was published
  bool finished() const;   // a finish was published
  int64_t tokens() const;  // token events published
  int32_t readers() const;
  // Events that the slowest attached reader has not taken, announced ones included; none without
  // readers. Waits for nobody: the engine's loop asks before each step.
  std::optional<int64_t> slowest_lag() const;

 private:
  friend class GenerationReader;

  static constexpr int64_t kNoReader = -1;

  void UpdateLagLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool EndedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  const std::function<void()> on_reader_change_;
  std::deque<GenerationEvent> events_ ABSL_GUARDED_BY(mutex_);
  std::vector<GenerationReader*> readers_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int64_t> slowest_lag_ = kNoReader;  // of what was published; set under mutex_
  std::atomic<int64_t> announced_ = 0;            // and not published yet
};

// One listener. Not thread-safe itself: one thread at a time calls it.
class GenerationReader {
 public:
  // Detaches. A notification that has already begun may still run meanwhile: what
  // it touches must be shared with it.
  ~GenerationReader();

  // The next event, or none yet.
  std::optional<GenerationEvent> TryNext();
  // Calls `notify` once, as soon as TryNext has something to give: at once if it
  // has already. At most one call is outstanding.
  void NotifyWhenReady(std::function<void()> notify);

 private:
  friend class GenerationRecord;
  GenerationReader(std::shared_ptr<GenerationRecord> record, int64_t after);
  // Steps over tokens that the reader has seen; whether an event is left then.
  bool HasNextLocked();

  std::shared_ptr<GenerationRecord> record_;
  int64_t after_;
  size_t cursor_ = 0;             // guarded by record_->mutex_
  std::function<void()> notify_;  // guarded by record_->mutex_
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_GENERATION_RECORD_H_
