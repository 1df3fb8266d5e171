// The real model that travels with the project, on the CPU: a session that went back, and one whose
// settings changed, are to the bit what an uninterrupted run is.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

constexpr char kDemo[] = "engine/model/demo";
constexpr int kLength = 600;

using memory::AttentionPolicy;

class EngineRewindModelTest : public EngineTest,
                              public testing::WithParamInterface<AttentionPolicy> {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    folder_ = std::filesystem::path(testing::TempDir()) / name;
    std::filesystem::remove_all(folder_);
    Run();
  }
  void TearDown() override { engine_.reset(); }

  // The next engine has what the disk has.
  void Run() {
    engine_.reset();
    EngineLimits limits = SmallLimits();
    limits.memory.max_pages = 4096;
    limits.memory.points.spacing_tokens = 64;
    limits.keeping.checkpoint_idle = absl::Hours(1);
    auto engine = Engine::Create(kDemo, backend_.get(), {.limits = limits, .data_folder = folder_});
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  static std::string Text(int tokens) {
    std::string text;
    for (int i = 0; text.size() < static_cast<size_t>(tokens); ++i) {
      text += "The code of box " + std::to_string(i * 7 % 31) + " is " + std::to_string(i) + ". ";
    }
    return text.substr(0, tokens);
  }

  void Make(const std::string& id, AttentionPolicy policy) {
    memory::SpanSettings settings = SmallSettings();
    settings.policy = policy;
    const auto made = Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
      engine_->CreateSession(Name(id), settings, "", std::nullopt, "", "", done);
    });
    ASSERT_TRUE(made.ok()) << made.status();
  }

  std::vector<std::pair<TokenId, float>> Say(const std::string& id) {
    GenerateSpec spec = Spec(id, "and box 3?", 10);
    spec.ignore_end_tokens = true;
    const Told told = Answer(spec);
    EXPECT_TRUE(told.finish) << told.error;
    std::vector<std::pair<TokenId, float>> said;
    for (const TokenEvent& event : told.tokens) {
      said.push_back({event.token.token, event.token.logprob});
    }
    return said;
  }

  absl::Status CheckpointAll() {
    return Wait<absl::Status>(
        [&](auto done) { engine_->CheckpointAll(absl::Now() + absl::Seconds(10), done); });
  }

  // Outlives the engine.
  std::unique_ptr<Backend> backend_ = CreateCpuBackend({.threads = 2, .memory_bytes = 1 << 30});
  std::filesystem::path folder_;
};

INSTANTIATE_TEST_SUITE_P(Policies, EngineRewindModelTest,
                         testing::Values(AttentionPolicy::kSeAttn, AttentionPolicy::kFull));

TEST_P(EngineRewindModelTest, ARewoundSessionIsAsOneThatWasNeverFurther) {
  const std::string text = Text(kLength);
  Make("a", GetParam());
  Pour("a", text);
  ASSERT_TRUE(CheckpointAll().ok());
  int64_t again = 0;
  for (bool asleep : {false, true}) {
    for (int position : {599, 320, 333, 65}) {
      SCOPED_TRACE(std::to_string(position) + (asleep ? " asleep" : " awake"));
      ASSERT_TRUE(Fork("a", "cut").ok());
      ASSERT_TRUE(Rewind("cut", position).ok());
      if (asleep) Run();
      Make("whole", GetParam());
      Pour("whole", text.substr(0, position));
      EXPECT_EQ(Say("cut"), Say("whole"));
      again = asleep ? position % 64 : again + position % 64;
      EXPECT_TRUE(Eventually([&] { return engine_->Stats().recomputed_tokens == again; }))
          << engine_->Stats().recomputed_tokens;
      ASSERT_TRUE(Delete("cut").ok());
      ASSERT_TRUE(Delete("whole").ok());
    }
  }
}

TEST_P(EngineRewindModelTest, AForksSettingsHoldFromTheForkOnAlsoAfterARestart) {
  const std::string text = Text(kLength);
  Make("parent", GetParam());
  Pour("parent", text.substr(0, 400));
  const auto edit = [](memory::SpanSettings* settings) {
    if (settings->policy == AttentionPolicy::kFull) {
      settings->policy = AttentionPolicy::kSeAttn;
    } else {
      settings->span_blocks = 1;
      settings->policy = AttentionPolicy::kFull;
    }
  };
  for (const char* id : {"a", "twin"}) {
    ASSERT_TRUE(Fork("parent", id, edit).ok());
    Pour(id, text.substr(400));
  }
  const auto expected = Say("twin");
  Run();
  EXPECT_EQ(Say("a"), expected);
  EXPECT_EQ(engine_->Stats().sessions_loaded, 0) << "it was computed from its log";
}

}  // namespace
}  // namespace eidetic
