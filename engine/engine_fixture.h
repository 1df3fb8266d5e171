// An engine over the fake model, with calls that wait for their answer.
//
// Thread safety: one test's thread. Ownership: owns engine and arena.
// Preconditions: Start first.
#ifndef EIDETIC_ENGINE_ENGINE_FIXTURE_H_
#define EIDETIC_ENGINE_ENGINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "engine/engine_parts.h"
#include "engine/fake_model.h"
#include "engine/scheduler/fake_tokenizer.h"
#include "memory/durable/file_system.h"
#include "memory/host_arena.h"
#include "memory/host_indexer.h"

namespace eidetic {

// What a reader was told.
struct Told {
  std::optional<GenerationStart> start;
  std::vector<TokenEvent> tokens;
  std::optional<GenerationFinish> finish;
  absl::Status error;
  std::string text() const;  // of the tokens and the finish
};

class EngineTest : public testing::Test {
 protected:
  static constexpr absl::Duration kPatience = absl::Seconds(20);
  using Reader = std::shared_ptr<GenerationReader>;

  // Blocks of 16, chunks of 32, steps of 64 rows, 256 pages a layer.
  static EngineLimits SmallLimits();
  // Window 32, a span of 4 blocks, one sink.
  static memory::SpanSettings SmallSettings();
  static SessionName Name(std::string session) { return {"acme", std::move(session)}; }
  static std::vector<TokenId> Ids(std::string_view text) { return {text.begin(), text.end()}; }

  void Start(EngineLimits limits = SmallLimits(), FakeModel::Draw draw = nullptr,
             EngineObserver* observer = nullptr);
  void TearDown() override;

  absl::StatusOr<SessionInfo> Create(std::string id, std::string request_id = "",
                                     std::string fingerprint = "", std::string adapter = "");
  absl::StatusOr<SessionInfo> Get(std::string id);
  absl::StatusOr<SessionInfo> Fork(
      std::string parent, std::string child,
      std::function<void(memory::SpanSettings*)> edit = [](memory::SpanSettings*) {},
      std::optional<AdapterChange> adapter = std::nullopt);
  absl::Status Delete(std::string id,
                      std::optional<memory::Position> expected_position = std::nullopt);
  absl::StatusOr<SessionInfo> Rewind(
      std::string id, memory::Position position,
      std::optional<memory::Position> expected_position = std::nullopt);
  absl::StatusOr<SnapshotInfo> Snapshot(std::string id, std::string snapshot);
  absl::Status DeleteSnapshot(std::string id, std::string snapshot);
  absl::StatusOr<SessionInfo> Restore(std::string id, std::string snapshot);
  absl::StatusOr<ExportedSession> Export(std::string id,
                                         std::optional<std::string> snapshot = std::nullopt);
  absl::StatusOr<SessionInfo> Import(std::string id, ExportedSession exported);
  absl::StatusOr<std::shared_ptr<AppendStream>> OpenAppend(std::string id);
  absl::StatusOr<memory::Position> Append(
      AppendStream& stream, std::string_view text,
      std::optional<memory::Position> expected_position = std::nullopt);
  absl::Status Drain(AppendStream& stream);
  // Appends and computes `text`.
  void Pour(std::string id, std::string_view text);

  // A request of session `id`; without a session when `id` is empty. Seed 1.
  static GenerateSpec Spec(std::string id, std::string_view prompt, int32_t max_tokens = 8);
  absl::StatusOr<Reader> Generate(GenerateSpec spec);
  // Reads to the end, or until `tokens` tokens are there.
  Told Read(GenerationReader& reader, size_t tokens = SIZE_MAX);
  Told Answer(GenerateSpec spec);

  absl::StatusOr<std::vector<SampledToken>> Score(std::string id, std::string_view text);
  absl::StatusOr<Engine::SearchResult> Search(std::string id, std::string_view text,
                                              int32_t limit = 8);

  // Waits until `done` holds.
  static bool Eventually(const std::function<bool()>& done);
  bool WaitUntilFree(std::string id);

  // Ends the engine. Nothing is left in the journal but the model's name.
  void ExpectEmptyJournal();

  // Makes the asynchronous `call` and waits for its answer.
  template <typename Result>
  static Result Wait(const std::function<void(std::function<void(Result)>)>& call) {
    struct Box {
      absl::Notification done;
      std::optional<Result> result;
    };
    auto box = std::make_shared<Box>();
    call([box](Result result) {
      box->result.emplace(std::move(result));
      box->done.Notify();
    });
    if (!box->done.WaitForNotificationWithTimeout(kPatience)) {
      return absl::DeadlineExceededError("the engine gave no answer");
    }
    return *std::move(box->result);
  }

  memory::HostArena arena_{size_t{64} << 20};
  memory::HostArena host_arena_{size_t{64} << 20};  // the second tier, where a limit allows one
  memory::HostIndexer indexer_;
  memory::JournalOptions journal_;  // with a folder: what happens is journaled there
  std::filesystem::path adapter_folder_;
  std::filesystem::path extents_;  // not empty: checkpoints are kept there
  memory::ExtentLimits extent_limits_;
  memory::FileSystem* files_ = memory::FileSystem::Posix();
  bool finds_late_pages_ = false;
  std::string build_ = "build 1", device_kind_ = "fake", page_form_ = "host";
  FakeModel* model_ = nullptr;
  std::atomic<int64_t> clock_seconds_{1'000'000};
  std::unique_ptr<Engine> engine_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ENGINE_FIXTURE_H_
