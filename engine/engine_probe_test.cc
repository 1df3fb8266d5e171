#include <gmock/gmock.h>

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using EngineProbeTest = EngineTest;

std::vector<TokenId> TokensOf(const std::vector<SampledToken>& scored) {
  std::vector<TokenId> tokens;
  for (const SampledToken& s : scored) tokens.push_back(s.token);
  return tokens;
}

std::vector<float> LogprobsOf(const std::vector<SampledToken>& scored) {
  std::vector<float> logprobs;
  for (const SampledToken& s : scored) logprobs.push_back(s.logprob);
  return logprobs;
}

TEST_F(EngineProbeTest, WithoutAPastTheFirstTokenIsLeftOut) {
  Start();
  const std::string text(70, 'x');
  const auto scored = Score("", "a" + text);
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(TokensOf(*scored), Ids(text));
  EXPECT_TRUE(Score("", "x")->empty());
}

TEST_F(EngineProbeTest, AContinuationIsScoredFromTheSessionsState) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(32, 'p'));
  const auto scored = Score("a", "continuation");
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(TokensOf(*scored), Ids("continuation"));
  // The same chunks, so the same scores, as of the whole text at once.
  const auto whole = Score("", std::string(32, 'p') + "continuation");
  ASSERT_TRUE(whole.ok());
  std::vector<float> tail = LogprobsOf(*whole);
  tail.erase(tail.begin(), tail.end() - 12);
  EXPECT_EQ(LogprobsOf(*scored), tail);
}

TEST_F(EngineProbeTest, WhatTheSessionHasNotComputedYetIsComputedFirst) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Answer(Spec("a", "hello", 3)).finish.has_value());
  ASSERT_EQ(Get("a")->computed, 7);
  const auto before = Score("a", "next");
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(TokensOf(*before), Ids("next"));
  EXPECT_EQ(Get("a")->position, 8) << "scoring changes nothing";
  EXPECT_EQ(Get("a")->computed, 7);
  Pour("a", "");  // nothing new, but the rest is computed
  EXPECT_EQ(Get("a")->computed, 8);
  EXPECT_EQ(LogprobsOf(*Score("a", "next")), LogprobsOf(*before));
}

TEST_F(EngineProbeTest, ChecksWhatIsScored) {
  EngineLimits limits = SmallLimits();
  limits.max_score_tokens = 100;
  Start(limits);
  EXPECT_EQ(Score("", "").status().code(), absl::StatusCode::kInvalidArgument);
  const auto status = Score("", std::string(101, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("101"));
  EXPECT_EQ(Score("none", "x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineProbeTest, LeavesNothingBehind) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(100, 'p'));
  const int64_t pages = engine_->Stats().pages_used;
  ASSERT_TRUE(Score("a", "x y z").ok());
  ASSERT_TRUE(Search("a", "x y z").ok());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().slots_used == 1; }));
  EXPECT_EQ(engine_->Stats().pages_used, pages);
  EXPECT_TRUE(Delete("a").ok());
}

TEST_F(EngineProbeTest, ACancelledScoreStops) {
  Start();
  model_->Hold();
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto scored = Wait<absl::StatusOr<std::vector<SampledToken>>>([&](auto done) {
    engine_->Score(std::nullopt, SmallSettings(), "acme", Ids(std::string(500, 'x')), 0, cancelled,
                   done);
    *cancelled = true;
    model_->Release();
  });
  EXPECT_EQ(scored.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().slots_used == 0; }));
}

TEST_F(EngineProbeTest, SearchFindsPassagesAndBlocks) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  std::string past(16, 's');
  for (char c : {'1', '2', '3', '4', '5', '6', '7', '8'}) past += std::string(16, c);
  Pour("a", past);
  const size_t steps = model_->steps().size();
  const auto found = Search("a", "where?", 1);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->passages.size(), 1u);
  EXPECT_EQ(found->passages[0].text, past.substr(16, 64));
  ASSERT_EQ(found->blocks.size(), 4u);
  EXPECT_EQ(found->blocks[0].block, 1);
  EXPECT_NEAR(found->blocks[0].mass, 0.05, 1e-12);
  EXPECT_EQ(model_->steps().size(), steps + 1);
  EXPECT_EQ(Get("a")->position, static_cast<memory::Position>(past.size()));
}

TEST_F(EngineProbeTest, SearchTellsOnlyOfThePast) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(48, 'p'));
  // A query so long that its own beginning becomes distant to its end.
  const auto found = Search("a", std::string(200, 'q'));
  ASSERT_TRUE(found.ok()) << found.status();
  for (const SpanUse& use : found->blocks) EXPECT_LT(use.block, 3);
  for (const PassageUse& passage : found->passages) {
    EXPECT_EQ(passage.text.find('q'), std::string::npos);
  }
  EXPECT_FALSE(found->blocks.empty());
}

TEST_F(EngineProbeTest, SearchNeedsAPolicyThatRetrieves) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", "hello");
  ASSERT_TRUE(Fork("a", "full", [](memory::SpanSettings* s) {
                s->policy = memory::AttentionPolicy::kFull;
              }).ok());
  EXPECT_EQ(Search("full", "x").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace eidetic
