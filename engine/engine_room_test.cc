// More sessions than there is memory for: all finish, or are told with numbers; none hangs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

class EngineRoomTest : public EngineCheckpointTest {
 protected:
  // 32 blocks of 16 tokens in each of two layers.
  static EngineLimits Small() {
    EngineLimits limits = SmallLimits();
    limits.memory.max_pages = 64;
    return limits;
  }
  static std::string PastOf(int i, int64_t tokens) {
    return std::string(tokens + i, static_cast<char>('a' + i));
  }
  // Asks without waiting for an answer.
  std::future<absl::StatusOr<Reader>> Ask(GenerateSpec spec) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Reader>>>();
    engine_->Generate(std::move(spec), [promise](auto reader) { promise->set_value(reader); });
    return promise->get_future();
  }
  Told Finish(std::future<absl::StatusOr<Reader>> asked) {
    Told told;
    if (asked.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      told.error = absl::DeadlineExceededError("hangs");
      return told;
    }
    absl::StatusOr<Reader> reader = asked.get();
    if (reader.ok()) return Read(**reader);
    told.error = reader.status();
    return told;
  }
  void ExpectNothingHeld() {
    EXPECT_TRUE(Eventually([&] {
      const EngineStats stats = engine_->Stats();
      return stats.pages_used + stats.host_pages_used + stats.tiles_used + stats.slots_used == 0 &&
             stats.queued + stats.running == 0;
    }));
  }
  // `count` sessions that are all asked at once; their tokens are those of an empty server.
  void AskAllAtOnce(EngineLimits limits, int count, int64_t tokens) {
    EngineLimits large = SmallLimits();
    large.memory.max_pages = 1 << 14;
    Start(large);
    std::vector<std::vector<TokenId>> expected;
    for (int i = 0; i < count; ++i) expected.push_back(Expected({PastOf(i, tokens)}, "and?"));
    Restart(limits);
    std::vector<std::future<absl::StatusOr<Reader>>> asked;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < count; ++i) {
        const std::string id = "s" + std::to_string(i);
        if (round == 0) {
          ASSERT_TRUE(Create(id).ok());
          asked.push_back(Ask(Spec(id, PastOf(i, tokens), 1)));
        } else {
          asked.push_back(Ask(Spec(id, "and?", 6)));
        }
      }
      for (int i = 0; i < count; ++i) {
        const Told told = Finish(std::move(asked[i]));
        EXPECT_TRUE(told.finish) << round << " " << i << " " << told.error;
      }
      asked.clear();
      for (int i = 0; i < count; ++i) ASSERT_TRUE(WaitUntilFree("s" + std::to_string(i)));
      if (round == 0) {  // the same past as the expected one's, without the token
        for (int i = 0; i < count; ++i) {
          ASSERT_TRUE(Rewind("s" + std::to_string(i), tokens + i).ok());
        }
      }
    }
    for (int i = 0; i < count; ++i) {
      const std::string id = "s" + std::to_string(i);
      ASSERT_TRUE(Rewind(id, tokens + i).ok());
      EXPECT_EQ(TokensOf(Answer(Spec(id, "and?", 6))), expected[i]) << i;
      ASSERT_TRUE(WaitUntilFree(id));
    }
    for (int i = 0; i < count; ++i) ASSERT_TRUE(Delete("s" + std::to_string(i)).ok());
    ExpectNothingHeld();
  }
};

// 12 sessions of 26 pages or more: five times the pool.
TEST_F(EngineRoomTest, OfManySessionsOnASmallPoolAllFinish) { AskAllAtOnce(Small(), 12, 190); }

// Eight of 126 pages, each larger than the device: three times both tiers.
TEST_F(EngineRoomTest, OfManySessionsLargerThanTheDeviceAllFinish) {
  EngineLimits limits = Small();
  limits.memory.max_pages = 40;
  limits.memory.max_host_pages = 300;
  AskAllAtOnce(limits, 8, 1000);
}

TEST_F(EngineRoomTest, WithoutADataFolderThoseThatEndMakeRoom) {
  journal_.folder.clear();
  extents_.clear();
  Start(Small());
  std::vector<std::future<absl::StatusOr<Reader>>> asked;
  for (int i = 0; i < 12; ++i) asked.push_back(Ask(Spec("", PastOf(i, 190), 6)));
  for (auto& one : asked) {
    const Told told = Finish(std::move(one));
    EXPECT_TRUE(told.finish) << told.error;
  }
  ExpectNothingHeld();
  // Two that stay fill the pool: nothing will come free, and who asks hears of it at once.
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Create("s" + std::to_string(i)).ok());
    ASSERT_TRUE(Answer(Spec("s" + std::to_string(i), PastOf(0, 190), 6)).finish);
    ASSERT_TRUE(WaitUntilFree("s" + std::to_string(i)));
  }
  const Told refused = Answer(Spec("", PastOf(0, 190), 6));
  EXPECT_EQ(refused.error.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.error.message()),
              HasSubstr("wants 2 state slots, 16 pages on the device, 2 tiles of index and 10 "
                        "pages on either tier"));
}

TEST_F(EngineRoomTest, WhoWaitsTooLongIsRefused) {
  Start(Small());
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  ASSERT_TRUE(Append(**stream, std::string(400, 'x')).ok());
  ASSERT_TRUE(Drain(**stream).ok());
  auto first = Ask(Spec("", std::string(300, 'y'), 6));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().queued == 1; }));
  clock_seconds_ += 20;
  auto second = Ask(Spec("", "small", 6));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().queued == 2; }))
      << "it would fit, but it is not its turn";
  clock_seconds_ += 10;
  EXPECT_EQ(Finish(std::move(first)).error.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Finish(std::move(second)).finish);
  auto third = Ask(Spec("", std::string(300, 'y'), 6));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().queued == 1; }));
  stream->reset();
  EXPECT_TRUE(Finish(std::move(third)).finish) << "the writer has gone, and its session sleeps";
  EXPECT_EQ(Get("a")->tier, SessionTier::kAsleep);
}

TEST_F(EngineRoomTest, ASessionThatStandsInLineDoesNotExpire) {
  EngineLimits limits = Small();
  limits.expire_after = absl::Seconds(10);
  Start(limits);
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(Append(**stream, std::string(400, 'x')).ok());
  auto asked = Ask(Spec("b", std::string(300, 'y'), 6));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().queued > 0; }));
  clock_seconds_ += 20;
  const absl::Time seen = absl::FromUnixSeconds(clock_seconds_);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().heartbeat >= seen; }));
  EXPECT_TRUE(Get("b").ok());
  stream->reset();
  EXPECT_TRUE(Finish(std::move(asked)).finish);
}

TEST_F(EngineRoomTest, WhoWaitsIsToldWhenTheEngineGoes) {
  Start(Small());
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(Append(**stream, std::string(400, 'x')).ok());
  auto asked = Ask(Spec("", std::string(300, 'y'), 6));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().queued > 0; }));
  Stop();
  EXPECT_EQ(Finish(std::move(asked)).error.code(), absl::StatusCode::kCancelled);
}

// Two writers, each of which holds what the other would need: one is refused, neither waits.
TEST_F(EngineRoomTest, TwoThatGrowDoNotWaitForEachOther) {
  Start(Small());
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  auto a = OpenAppend("a"), b = OpenAppend("b");
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_TRUE(Append(**a, std::string(200, 'x')).ok());
  ASSERT_TRUE(Append(**b, std::string(200, 'y')).ok());
  EXPECT_EQ(Append(**a, std::string(200, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Append(**b, std::string(200, 'y')).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(Drain(**a).ok());
  a->reset();
  ASSERT_TRUE(WaitUntilFree("a"));
  ASSERT_TRUE(CheckpointAll().ok());
  EXPECT_TRUE(Append(**b, std::string(200, 'y')).ok()) << "the other sleeps now";
}

// Its checkpoint is gone: the log is computed again in pages that move on as it grows.
TEST_F(EngineRoomTest, ALogLargerThanTheDeviceIsComputedAgain) {
  EngineLimits limits = Small();
  limits.memory.max_pages = 40;
  limits.memory.max_host_pages = 300;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", PastOf(0, 1500));
  const auto expected = *EngineTest::Score("a", "more");
  ASSERT_TRUE(CheckpointAll().ok());
  Stop();
  for (const auto& file : std::filesystem::directory_iterator(extents_)) {
    std::filesystem::resize_file(file, 100);
  }
  Start(limits);
  const auto scored = EngineTest::Score("a", "more");
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(scored->back().logprob, expected.back().logprob);
  EXPECT_GT(ComputedTokens(), 1500);
  EXPECT_LE(engine_->Stats().pages_used, 40);
  ASSERT_TRUE(Delete("a").ok());
  ExpectNothingHeld();
}

}  // namespace
}  // namespace eidetic
