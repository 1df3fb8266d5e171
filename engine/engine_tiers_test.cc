// Pages of the device that run out, with a second tier in host memory and without.

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using EngineTiersTest = EngineTest;

TEST_F(EngineTiersTest, DistantBlocksMoveToTheHostWhenPagesRunOut) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_pages = 60;  // 30 blocks of 16 tokens in two layers
  limits.memory.max_host_pages = 400;
  Start(limits);
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  Pour("a", std::string(250, 'x'));
  Pour("b", std::string(250, 'y'));
  Pour("a", std::string(250, 'z'));
  EXPECT_EQ(Get("a")->computed, 500);
  EXPECT_EQ(Get("b")->computed, 250);
  EXPECT_GT(engine_->Stats().host_pages_used, 0);
  EXPECT_LE(engine_->Stats().pages_used, 60);
  for (const char* id : {"a", "b"}) EXPECT_TRUE(Delete(id).ok());
  EXPECT_FALSE(Get("a").ok());  // a turn after the last deletion
  EXPECT_EQ(engine_->Stats().host_pages_used, 0);
  EXPECT_EQ(engine_->Stats().pages_used, 0);
}

TEST_F(EngineTiersTest, HotPagesComeBackAndMakeRoomWhenPagesRunOut) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_pages = 60;
  limits.memory.max_host_pages = 400;
  limits.memory.max_promoted_pages = 6;
  Start(limits);
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  Pour("a", std::string(250, 'x'));
  for (int i = 0; i < 2; ++i) Pour("b", std::string(250, 'y'));
  EXPECT_EQ(Answer(Spec("a", "and?", 20)).tokens.size(), 20u);
  EXPECT_TRUE(Get("a").ok());  // a turn after the last step
  EngineStats stats = engine_->Stats();
  EXPECT_GT(stats.promoted_pages, 0);
  EXPECT_LE(stats.promoted_pages, 6);
  EXPECT_GT(stats.host_choices, 0);
  EXPECT_GT(stats.device_choices, 0);
  EXPECT_GT(stats.promoted_bytes, 0);
  for (int i = 0; i < 2; ++i) Pour("b", std::string(250, 'z'));
  EXPECT_EQ(Get("b")->computed, 1000);
  EXPECT_GT(engine_->Stats().pages_dropped, 0);
  for (const char* id : {"a", "b"}) EXPECT_TRUE(Delete(id).ok());
  EXPECT_FALSE(Get("a").ok());
  stats = engine_->Stats();
  EXPECT_EQ(stats.promoted_pages, 0);
  EXPECT_EQ(stats.host_pages_used, 0);
  EXPECT_EQ(stats.pages_used, 0);
}

TEST_F(EngineTiersTest, WithoutASecondTierPagesThatRunOutAreRefused) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_pages = 40;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Append(**stream, std::string(500, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Append(**stream, std::string(250, 'x')).value_or(-1), 250);
}

}  // namespace
}  // namespace eidetic
