// What sessions that wake wait for, and what they do not.
#include <gtest/gtest.h>

#include "engine/engine_checkpoint_fixture.h"
#include "engine/held_file_system.h"

namespace eidetic {
namespace {

class EngineWakeTest : public EngineCheckpointTest {
 protected:
  EngineWakeTest() { files_ = &disk_; }
  void TearDown() override {
    disk_.Release();
    EngineCheckpointTest::TearDown();
  }
  // Calls `call` and counts its answer, which need not come soon.
  void Score(const std::string& id, std::atomic<int>* good) {
    engine_->Score(Name(id), SmallSettings(), "acme", Ids("more"), 0, nullptr, [good](auto scored) {
      if (scored.ok()) ++*good;
    });
  }

  HeldFileSystem disk_{memory::FileSystem::Posix()};
};

TEST_F(EngineWakeTest, SessionsAreLoadedBesideEachOtherInBounds) {
  EngineLimits limits = SmallLimits();
  limits.keeping.max_loads_under_way = 3;
  Start(limits);
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(100, 'x'));
  }
  ASSERT_TRUE(CheckpointAll().ok());
  Restart(limits);
  std::atomic<int> good = 0;
  disk_.HoldReads();
  for (const char* id : {"a", "b", "c", "d", "e"}) Score(id, &good);
  EXPECT_TRUE(Eventually([&] { return disk_.held_reads() == 3; }));
  ASSERT_TRUE(Get("a").ok()) << "the loop goes on";
  EXPECT_EQ(disk_.held_reads(), 3);
  disk_.Release();
  EXPECT_TRUE(Eventually([&] { return good == 5; }));
  EXPECT_EQ(engine_->Stats().sessions_loaded, 5);
}

TEST_F(EngineWakeTest, ALoadDoesNotWaitForACheckpointThatIsWritten) {
  Start();
  for (const char* id : {"asleep", "written"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(100, 'x'));
  }
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  disk_.HoldSyncs();
  Pour("written", "and more");
  clock_seconds_ += 31;
  ASSERT_TRUE(Eventually([&] { return disk_.held_syncs() == 1; }));
  EXPECT_TRUE(EngineTest::Score("asleep", "more").ok());
  EXPECT_EQ(engine_->Stats().checkpoints_written, 0);
  disk_.Release();
  EXPECT_TRUE(InTime([&] { return engine_->Stats().checkpoints_written > 0; }));
}

TEST_F(EngineWakeTest, OfASleepingSessionNothingIsReadToTellOrForkOrCutIt) {
  Start();
  const std::string past(300, 'x');
  const auto expected = Expected({past}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", past);
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  disk_.HoldReads();
  EXPECT_EQ(Get("a")->tier, SessionTier::kAsleep);
  const auto fork = Fork("a", "b");
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(fork->tier, SessionTier::kAsleep);
  EXPECT_EQ(fork->position, 300);
  const auto window = [](memory::SpanSettings* s) { s->policy = memory::AttentionPolicy::kWindow; };
  ASSERT_TRUE(Fork("a", "window", window).ok());
  ASSERT_TRUE(Snapshot("a", "here").ok());
  ASSERT_TRUE(Rewind("a", 200).ok());
  ASSERT_TRUE(Restore("a", "here").ok());
  EXPECT_EQ(disk_.reads(), 0);
  disk_.Release();
  for (const char* id : {"a", "b"}) {
    EXPECT_EQ(TokensOf(Answer(Spec(id, "and?", 6))), expected) << id;
  }
  const std::vector<TokenId> by_window = TokensOf(Answer(Spec("window", "and?", 6)));
  EXPECT_EQ(ComputedTokens(), 3 * (4 + 5)) << "all came from the parent's checkpoint";
  ASSERT_TRUE(Rewind("a", 300).ok());
  ASSERT_TRUE(Fork("a", "awake", window).ok());
  EXPECT_EQ(TokensOf(Answer(Spec("awake", "and?", 6))), by_window);
}

TEST_F(EngineWakeTest, AForkOfASleepingSessionOutlivesIt) {
  Start();
  const std::string past(300, 'x');
  const auto expected = Expected({past, "more"}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", past);
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  ASSERT_TRUE(Fork("a", "b").ok());
  ASSERT_TRUE(Delete("a").ok());
  Restart();
  Pour("b", "more");
  EXPECT_EQ(TokensOf(Answer(Spec("b", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens(), 4 + 4 + 5);
}

}  // namespace
}  // namespace eidetic
