// Sessions that give their memory back and get it again; disks that fail meanwhile.
#include <gtest/gtest.h>

#include "engine/engine_checkpoint_fixture.h"
#include "memory/durable/faulty_env.h"
#include "memory/durable/faulty_file_system.h"

namespace eidetic {
namespace {

using memory::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;

std::string PastOf(int i) { return std::string(190 + i, static_cast<char>('a' + i)); }

TEST_F(EngineCheckpointTest, ASessionThatRestsLongSleepsAndWakesAsItWas) {
  Start();
  const auto expected = Expected({PastOf(1)}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", PastOf(1));
  EXPECT_TRUE(InTime([&] { return Get("a")->memory_bytes == 0; }));
  EXPECT_TRUE(InTime([&] { return engine_->Stats().sessions_asleep == 1; }));
  EXPECT_EQ(engine_->Stats().pages_used + engine_->Stats().slots_used, 0);
  EXPECT_EQ(engine_->Stats().checkpoints_written, 1);
  const int64_t computed = ComputedTokens();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens() - computed, 4 + 5);
}

TEST_F(EngineCheckpointTest, WhenSlotsOrPagesRunOutThoseThatRestedLongestSleep) {
  constexpr int kSessions = 6;
  Start();
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < kSessions; ++i) expected.push_back(Expected({PastOf(i)}, "and?"));
  EngineLimits few_slots = SmallLimits(), few_pages = SmallLimits();
  few_slots.memory.max_state_slots = 3;
  few_pages.memory.max_pages = 64;  // of 32 blocks in each of two layers: two sessions
  for (const EngineLimits& limits : {few_slots, few_pages}) {
    Restart(limits);
    for (int i = 0; i < kSessions; ++i) {
      const std::string id = "s" + std::to_string(i);
      ++clock_seconds_;
      ASSERT_TRUE(Create(id).ok()) << i;
      Pour(id, PastOf(i));
      ASSERT_TRUE(CheckpointAll().ok());
    }
    const int64_t computed = ComputedTokens();
    for (int i = 0; i < kSessions; ++i) {
      const std::string id = "s" + std::to_string(i);
      ++clock_seconds_;
      EXPECT_EQ(TokensOf(Answer(Spec(id, "and?", 6))), expected[i]) << i;
      ASSERT_TRUE(WaitUntilFree(id));
      ASSERT_TRUE(CheckpointAll().ok());
    }
    EXPECT_EQ(ComputedTokens() - computed, kSessions * (4 + 5)) << "nothing is computed again";
    EXPECT_GT(engine_->Stats().sessions_loaded, 3);
    for (int i = 0; i < kSessions; ++i) ASSERT_TRUE(Delete("s" + std::to_string(i)).ok());
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().pages_used == 0; }));
    EXPECT_EQ(engine_->Stats().slots_used, 0);
  }
}

// What is not on the disk is nobody's room: without patience the request is refused, and can be
// tried again soon.
TEST_F(EngineCheckpointTest, WhatIsNotCheckpointedStaysAndIsCheckpointedSoon) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_state_slots = 2;
  limits.max_memory_wait = absl::ZeroDuration();
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", PastOf(0));
  ASSERT_TRUE(Create("b").ok());
  const Told refused = Answer(Spec("b", "hello", 3));
  EXPECT_EQ(refused.error.code(), absl::StatusCode::kResourceExhausted) << refused.error;
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().checkpoints_written == 1; }));
  EXPECT_TRUE(Answer(Spec("b", "hello", 3)).finish);
}

TEST_F(EngineCheckpointTest, ASessionLargerThanTheDeviceWakes) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_pages = 60;  // 30 blocks of 16 tokens in two layers
  limits.memory.max_host_pages = 400;
  limits.memory.max_state_slots = 4;  // few: tiles too are as many as its blocks ask for
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  for (int i = 0; i < 11; ++i) Pour("a", std::string(250, 'x'));
  const auto expected = *Score("a", "more");
  ASSERT_TRUE(CheckpointAll().ok());
  Restart(limits);
  const auto scored = Score("a", "more");
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(scored->back().logprob, expected.back().logprob);
  EXPECT_EQ(ComputedTokens(), 4);
  EXPECT_GT(engine_->Stats().host_pages_used, 0);
}

TEST_F(EngineCheckpointTest, SeveralWaitForOneLoad) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", PastOf(2));
  const auto expected = *Score("a", "more");
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  std::atomic<int> equal = 0, done = 0;
  for (int i = 0; i < 5; ++i) {
    engine_->Score(Name("a"), SmallSettings(), "acme", Ids("more"), 0, nullptr, [&](auto scored) {
      if (scored.ok() && scored->back().logprob == expected.back().logprob) ++equal;
      ++done;
    });
  }
  EXPECT_TRUE(Eventually([&] { return done == 5; }));
  EXPECT_EQ(equal, 5);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions_loaded == 1; }));
}

TEST_F(EngineCheckpointTest, AForkWithAnotherIndexWakesWithItsOwn) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(400, 'x'));
  ASSERT_TRUE(CheckpointAll().ok());
  const auto full = [](memory::SpanSettings* s) { s->policy = memory::AttentionPolicy::kFull; };
  const auto se = [](memory::SpanSettings* s) { s->policy = memory::AttentionPolicy::kSeAttn; };
  ASSERT_TRUE(Fork("a", "full", full).ok());
  ASSERT_TRUE(Fork("a", "twin", full).ok());
  const auto expected = TokensOf(Answer(Spec("twin", "and?", 6)));
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("full", "and?", 6))), expected);
  EXPECT_LT(ComputedTokens(), 10);
  ASSERT_TRUE(CheckpointAll().ok());
  ASSERT_TRUE(Fork("full", "again", se).ok());
  ASSERT_TRUE(Fork("full", "other", se).ok());
  const auto further = TokensOf(Answer(Spec("other", "on", 6)));
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("again", "on", 6))), further);
  EXPECT_GT(engine_->Stats().tiles_used, 0);
}

class EngineDiskTest : public EngineCheckpointTest {
 protected:
  // As far as the disk lets it.
  void LetItSleep() {
    const bool kept = CheckpointAll().ok();
    clock_seconds_ += 700;
    EXPECT_TRUE(!kept || Eventually([&] { return Get("a")->memory_bytes == 0; }));
  }
};

// Every operation on extent files fails in turn, once and for good: nothing told is lost.
TEST_F(EngineDiskTest, ADiskThatFailsAnywhereLosesNothing) {
  Start();
  const auto first = Expected({PastOf(0)}, "one");
  Stop();
  const std::filesystem::path root = extents_.parent_path();
  FaultyFileSystem disk(memory::FileSystem::Posix(), 3);
  files_ = &disk;
  int64_t round = 0, failed = 0, refused = 0;
  for (Operation operation :
       {Operation::kCreate, Operation::kAppend, Operation::kSync, Operation::kSyncFolder,
        Operation::kOpen, Operation::kRead, Operation::kRemove}) {
    for (int64_t passes : {0, 1, 2, 7, 20}) {
      for (int64_t times : {int64_t{1}, FaultyFileSystem::kForever}) {
        journal_.folder = root / ("journal" + std::to_string(++round));
        extents_ = root / ("extents" + std::to_string(round));
        Start();
        ASSERT_TRUE(Create("a").ok());
        Pour("a", PastOf(0));
        disk.Fail(operation, passes, round % 2 == 0 ? EIO : ENOSPC, times);
        LetItSleep();
        EXPECT_EQ(TokensOf(Answer(Spec("a", "one", 6))), first) << round;
        ASSERT_TRUE(WaitUntilFree("a"));
        LetItSleep();
        ASSERT_TRUE(Score("a", "x").ok()) << round;
        failed += engine_->Stats().checkpoints_failed;
        refused += engine_->Stats().checkpoints_refused;
        disk.Heal();
        Restart();
        EXPECT_EQ(Get("a")->position, 190 + 3 + 6) << round;
        ASSERT_TRUE(Fork("a", "b").ok());
        EXPECT_EQ(TokensOf(Answer(Spec("a", "two"))), TokensOf(Answer(Spec("b", "two"))));
        clock_seconds_ += 10;
        EXPECT_TRUE(CheckpointAll().ok()) << "it works again";
        Stop();
      }
    }
  }
  EXPECT_GT(failed, 20);
  EXPECT_GT(refused, 8) << "reads that fail";
}

TEST_F(EngineCheckpointTest, AJournalThatFailsAndRecoversHasItsManifests) {
  memory::FaultyEnv disk;
  journal_.env = disk.env();
  Start();
  const auto expected = Expected({PastOf(3), "more"}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", PastOf(3));
  ASSERT_TRUE(CheckpointAll().ok());
  Pour("a", "more");
  disk.FailAfter(0, memory::DiskFault::kNoSpace);
  EXPECT_FALSE(CheckpointAll().ok());
  EXPECT_FALSE(Create("b").ok());
  disk.Heal();
  EXPECT_TRUE(InTime([&] { return Create("c").ok(); }));
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens(), 4 + 5);
  Stop();  // before its disk goes
}

}  // namespace
}  // namespace eidetic
