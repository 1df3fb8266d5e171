// An engine that keeps sessions and their memory in folders of the test's own.
//
// Thread safety: one test's thread. Ownership: as EngineTest. Preconditions: Start first.
#ifndef EIDETIC_ENGINE_ENGINE_CHECKPOINT_FIXTURE_H_
#define EIDETIC_ENGINE_ENGINE_CHECKPOINT_FIXTURE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "engine/engine_fixture.h"

namespace eidetic {

class EngineCheckpointTest : public EngineTest {
 protected:
  void SetUp() override {
    const std::filesystem::path folder =
        std::filesystem::path(testing::TempDir()) /
        testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    journal_.folder = folder / "journal";
    extents_ = folder / "extents";
  }

  void Stop() {
    if (engine_) model_->Release();
    engine_.reset();
  }
  // As after a crash: the next engine has what the disk has.
  void Restart(EngineLimits limits = SmallLimits()) {
    Stop();
    Start(limits);
  }

  absl::Status CheckpointAll() {
    return Wait<absl::Status>([&](auto done) {
      engine_->CheckpointAll(absl::FromUnixSeconds(clock_seconds_ + 10), done);
    });
  }
  // Moves the clock on until `done` holds.
  bool InTime(const std::function<bool()>& done) {
    return Eventually([&] {
      ++clock_seconds_;
      return done();
    });
  }

  int64_t ComputedTokens() const {
    int64_t tokens = 0;
    for (const auto& step : model_->steps()) {
      for (const FakeModel::SeenChunk& chunk : step) tokens += chunk.tokens;
    }
    return tokens;
  }

  static std::vector<TokenId> TokensOf(const Told& told) {
    EXPECT_TRUE(told.finish) << told.error;
    std::vector<TokenId> tokens;
    for (const TokenEvent& event : told.tokens) tokens.push_back(event.token.token);
    return tokens;
  }
  // What a session says to `prompt` that was given `past`, and never interrupted.
  std::vector<TokenId> Expected(const std::vector<std::string>& past, const std::string& prompt,
                                int32_t tokens = 6) {
    EXPECT_TRUE(Create("expected").ok());
    for (const std::string& text : past) Pour("expected", text);
    const std::vector<TokenId> told = TokensOf(Answer(Spec("expected", prompt, tokens)));
    EXPECT_TRUE(Delete("expected").ok());
    return told;
  }
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ENGINE_CHECKPOINT_FIXTURE_H_
