// Tiers that fill: room is made before it is asked for, and what is told of it is true.
#include <gtest/gtest.h>

#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

constexpr int64_t kPageBytes = 2 * 4 * 4 * 16;  // keys and values, 4 channels, 16 tokens

class EngineMarksTest : public EngineCheckpointTest {
 protected:
  static EngineLimits Marked(double device, double host) {
    EngineLimits limits = SmallLimits();
    limits.memory.max_pages = 60;  // 30 blocks in each of two layers
    limits.memory.max_host_pages = 40;
    limits.marks = {.device_high = device, .device_low = 0.3, .host_high = host, .host_low = 0.1};
    limits.keeping.sleep_after = absl::ZeroDuration();
    limits.keeping.checkpoint_idle = absl::Hours(1);
    return limits;
  }
  void Fill() {
    ASSERT_TRUE(Create("a").ok());
    Pour("a", std::string(300, 'x'));  // 19 blocks: a sink, 15 distant ones, 3 of the window
  }
};

TEST_F(EngineMarksTest, BelowTheMarkNothingMoves) {
  Start(Marked(0.7, 1.0));
  Fill();
  clock_seconds_ += 10;
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().device_sessions == 1; }));
  EXPECT_EQ(engine_->Stats().pages_used, 38);
  EXPECT_EQ(engine_->Stats().moved_bytes, 0);
  EXPECT_EQ(Get("a")->tier, SessionTier::kDevice);
  EXPECT_EQ(Get("a")->host_bytes, 0);
}

TEST_F(EngineMarksTest, AFullDeviceGivesToTheHost) {
  Start(Marked(0.5, 1.0));
  Fill();
  EXPECT_TRUE(InTime([&] { return engine_->Stats().host_sessions == 1; }));
  const EngineStats stats = engine_->Stats();
  EXPECT_LE(stats.pages_used, 18);
  EXPECT_EQ(stats.pages_moved, stats.host_pages_used);
  EXPECT_EQ(stats.moved_bytes, stats.pages_moved * kPageBytes);
  EXPECT_EQ(stats.device_sessions + stats.disk_sessions, 0);
  EXPECT_EQ(Get("a")->tier, SessionTier::kHost);
  EXPECT_EQ(Get("a")->host_bytes, stats.host_pages_used * kPageBytes);
  EXPECT_GT(Get("a")->memory_bytes, 38 * kPageBytes);
}

TEST_F(EngineMarksTest, AFullHostGivesToTheDisk) {
  Start(Marked(0.5, 0.5));
  const auto expected = Expected({std::string(300, 'x')}, "and?");
  Fill();
  EXPECT_TRUE(InTime([&] { return engine_->Stats().disk_sessions == 1; }));
  EngineStats stats = engine_->Stats();
  EXPECT_EQ(stats.pages_used + stats.host_pages_used + stats.slots_used, 0);
  EXPECT_GE(stats.sessions_pushed, 1);
  EXPECT_EQ(stats.sessions_slept, 0);
  EXPECT_EQ(stats.loaded_bytes, 0);
  auto told = *Get("a");
  EXPECT_EQ(told.tier, SessionTier::kAsleep);
  EXPECT_EQ(told.memory_bytes + told.host_bytes, 0);
  EXPECT_GT(told.disk_bytes, 38 * kPageBytes);
  const absl::Time slept = told.last_use_time;
  ++clock_seconds_;
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  told = *Get("a");
  EXPECT_GT(told.memory_bytes, 0);
  EXPECT_GT(told.last_use_time, slept);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().loaded_bytes == told.disk_bytes; }));
}

// The one that was read last stays, though it changed first.
TEST_F(EngineMarksTest, WhoRestedLongestGoesFirst) {
  EngineLimits limits = Marked(0.9, 1.0);
  limits.memory.max_host_pages = 0;
  limits.marks.device_low = 0.75;
  Start(limits);
  const auto pour = [&](const char* id, int64_t tokens) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(tokens, 'x'));
    ++clock_seconds_;
  };
  pour("read", 220);    // 14 blocks
  pour("unused", 100);  // 7
  ASSERT_TRUE(Score("read", "!").ok());
  ++clock_seconds_;
  pour("last", 100);
  EXPECT_TRUE(InTime([&] { return Get("unused")->tier == SessionTier::kAsleep; }));
  EXPECT_EQ(Get("read")->tier, SessionTier::kDevice);
}

}  // namespace
}  // namespace eidetic
