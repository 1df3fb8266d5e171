// Sessions that go back compute on from the nearest past state, and are as if they had never been
// further.
#include <gtest/gtest.h>

#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

// Chunks are of 32 tokens.
constexpr memory::Position kSpacing = 32;

std::string Text(int tokens) {
  std::string text;
  for (int i = 0; i < tokens; ++i) text.push_back(static_cast<char>('a' + i * i % 23));
  return text;
}

class EnginePointsTest : public EngineCheckpointTest {
 protected:
  static EngineLimits Limits(int32_t max_points = 32) {
    EngineLimits limits = SmallLimits();
    limits.memory.points = {
        .max_points = max_points, .max_bytes = 1 << 20, .spacing_tokens = kSpacing};
    return limits;
  }

  // What was computed since the last call.
  int64_t Computed() {
    const int64_t all = ComputedTokens();
    return all - std::exchange(counted_, all);
  }
  void RestartAll(const EngineLimits& limits = Limits()) {
    Restart(limits);
    counted_ = 0;
  }

  // The session's next answer is that of one that was given `past` alone, and costs `again`
  // tokens more than that.
  void ExpectAs(const std::string& id, const std::vector<std::string>& past, int64_t again) {
    const auto expected = Expected(past, "and?");
    Computed();
    EXPECT_EQ(TokensOf(Answer(Spec(id, "and?", 6))), expected);
    EXPECT_EQ(Computed(), again + 4 + 5);
  }

 private:
  int64_t counted_ = 0;
};

TEST_F(EnginePointsTest, ARewindComputesFromTheNearestStateOn) {
  Start(Limits());
  const std::string text = Text(300);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  int64_t again = 0;
  // Within the last chunk, within others, on borders, and before all of them.
  for (int position : {299, 289, 288, 287, 100, 96, 33, 32, 31, 1}) {
    SCOPED_TRACE(position);
    ASSERT_TRUE(Fork("a", "cut").ok());
    ASSERT_TRUE(Rewind("cut", position).ok());
    ExpectAs("cut", {text.substr(0, position)}, position % kSpacing);
    again += position % kSpacing;
    ASSERT_TRUE(Delete("cut").ok());
  }
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().recomputed_tokens == again; }));
  ExpectAs("a", {text}, 0);  // its forks went back, not it
}

TEST_F(EnginePointsTest, StepByStepBackAndOn) {
  Start(Limits());
  std::string text = Text(250);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  for (int position : {240, 200, 130, 70}) {
    ASSERT_TRUE(Rewind("a", position).ok());
    text = text.substr(0, position);
    Computed();
    Pour("a", "more");
    EXPECT_EQ(Computed(), position % kSpacing + 4);
    ASSERT_TRUE(Rewind("a", position).ok());
  }
  ExpectAs("a", {text}, 70 % kSpacing);
}

TEST_F(EnginePointsTest, ARewindIntoAnAnswer) {
  Start(Limits());
  const std::string past = Text(90);
  for (const char* id : {"a", "short"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, past);
    ASSERT_TRUE(Answer(Spec(id, "tell me", *id == 'a' ? 60 : 20)).finish);
  }
  ASSERT_TRUE(Rewind("a", 90 + 7 + 20).ok());
  const auto expected = TokensOf(Answer(Spec("short", "and?", 6)));
  Computed();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  // The prompt was cut at 96.
  EXPECT_EQ(Computed(), 117 - 96 + 4 + 5);
}

TEST_F(EnginePointsTest, ASessionThatSleepsGoesBackByItsCheckpoint) {
  Start(Limits());
  const std::string text = Text(300);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  ASSERT_TRUE(CheckpointAll().ok());
  for (int position : {290, 289, 200, 100}) {
    SCOPED_TRACE(position);
    RestartAll();
    ASSERT_TRUE(Rewind("a", position).ok());
    ExpectAs("a", {text.substr(0, position)}, position % kSpacing);
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions_loaded == 1; }));
    ASSERT_TRUE(Rewind("a", position).ok());
    ASSERT_TRUE(CheckpointAll().ok());  // with the states of the one before
  }
  EXPECT_EQ(engine_->Stats().checkpoints_refused, 0);
}

TEST_F(EnginePointsTest, OneThatIsAwakeAfterALoadGoesBackByItsCheckpointToo) {
  Start(Limits());
  const std::string text = Text(300);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  ASSERT_TRUE(CheckpointAll().ok());
  RestartAll();
  Pour("a", "more");
  ASSERT_TRUE(Fork("a", "fork").ok());
  for (const char* id : {"a", "fork"}) {
    ASSERT_TRUE(Rewind(id, 130).ok());
    ExpectAs(id, {text.substr(0, 130)}, 2);
  }
}

TEST_F(EnginePointsTest, ASnapshotsPastIsComputedFromTheNearestCommonState) {
  Start(Limits());
  const std::string text = Text(300);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  ASSERT_TRUE(Snapshot("a", "whole").ok());
  ASSERT_TRUE(Rewind("a", 150).ok());
  Pour("a", "another way to go on from here, longer than a chunk");
  ASSERT_TRUE(Restore("a", "whole").ok());
  // 128 to 150 was a chunk of its own.
  ExpectAs("a", {text}, 300 - 128);
}

// What sleeps and has nothing in common with the snapshot has nothing to go back to.
TEST_F(EnginePointsTest, ASnapshotOfAnotherPastIsRestoredAsleep) {
  Start(Limits());
  ASSERT_TRUE(Create("a").ok());
  Pour("a", "one past");
  ASSERT_TRUE(Snapshot("a", "one").ok());
  ASSERT_TRUE(Rewind("a", 0).ok());
  Pour("a", "quite another");
  RestartAll();
  ASSERT_TRUE(Restore("a", "one").ok());
  ExpectAs("a", {"one past"}, 8);
}

TEST_F(EnginePointsTest, ManyTokensKeepFewStates) {
  Start(Limits());
  ASSERT_TRUE(Create("a").ok());
  Pour("a", Text(3200));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().state_point_bytes == 32 * 16; }));
  ASSERT_TRUE(CheckpointAll().ok());
  RestartAll();
  int64_t worst = 0;
  for (int back : {40, 100, 300, 1000}) {
    RestartAll();
    ASSERT_TRUE(Rewind("a", 3200 - back).ok());
    ASSERT_TRUE(Score("a", "q").ok());
    worst = std::max(worst, (Computed() - 1) * 100 / back);
  }
  EXPECT_LT(worst, 100) << "percent of the distance, computed again";
}

TEST_F(EnginePointsTest, WithoutThemEverythingIsComputedAgain) {
  Start(Limits(0));
  const std::string text = Text(300);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", text);
  ASSERT_TRUE(CheckpointAll().ok());
  ASSERT_TRUE(Rewind("a", 290).ok());
  ExpectAs("a", {text.substr(0, 290)}, 290);
}

TEST_F(EnginePointsTest, PagesBehindThePointAreGivenBack) {
  Start(Limits());
  ASSERT_TRUE(Create("a").ok());
  Pour("a", Text(300));
  const int64_t before = engine_->Stats().pages_used;
  ASSERT_TRUE(Rewind("a", 100).ok());
  // 96 tokens stay: 6 blocks of 2 layers.
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().pages_used == 12; })) << before;
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_TRUE(Eventually([&] {
    const EngineStats stats = engine_->Stats();
    return stats.pages_used == 0 && stats.tiles_used == 0 && stats.state_point_bytes == 0;
  }));
}

}  // namespace
}  // namespace eidetic
