#include "memory/span_settings.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

namespace eidetic::memory {
namespace {

constexpr int32_t kBlock = 32, kChunk = 512, kTrained = 2048;

TEST(SpanSettings, DefaultsAreValid) {
  EXPECT_TRUE(Validate(SpanSettings(), kBlock, kChunk, kTrained).ok());
}

struct BadField {
  std::string field;
  std::function<void(SpanSettings&)> spoil;
};

TEST(SpanSettings, EachBadFieldIsNamed) {
  constexpr int32_t kHuge = std::numeric_limits<int32_t>::max();
  const BadField cases[] = {
      {"policy", [](SpanSettings& s) { s.policy = static_cast<AttentionPolicy>(9); }},
      {"rule", [](SpanSettings& s) { s.rule = static_cast<RetrievalRule>(9); }},
      {"window_tokens", [](SpanSettings& s) { s.window_tokens = 0; }},
      {"window_tokens", [](SpanSettings& s) { s.window_tokens = kHuge; }},
      {"span_blocks", [](SpanSettings& s) { s.span_blocks = -1; }},
      {"span_blocks", [](SpanSettings& s) { s.span_blocks = kHuge; }},
      {"sink_blocks", [](SpanSettings& s) { s.sink_blocks = -1; }},
      {"sink_blocks", [](SpanSettings& s) { s.sink_blocks = kMaxSinkBlocks + 1; }},
      {"first_candidates", [](SpanSettings& s) { s.first_candidates = 0; }},
      {"first_candidates", [](SpanSettings& s) { s.first_candidates = 3000; }},
      {"candidate_budget", [](SpanSettings& s) { s.candidate_budget = -5; }},
      {"candidate_budget", [](SpanSettings& s) { s.candidate_budget = kHuge; }},
      {"scan_channels", [](SpanSettings& s) { s.scan_channels = -1; }},
      {"scan_channels", [](SpanSettings& s) { s.scan_channels = kHuge; }},
      {"candidate_budget",
       [](SpanSettings& s) {
         s.first_candidates = s.candidate_budget = 7;
         s.span_blocks = 8;
       }},
  };
  for (const BadField& bad : cases) {
    SpanSettings settings;
    bad.spoil(settings);
    const absl::Status status = Validate(settings, kBlock, kChunk, kTrained);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.field;
    EXPECT_EQ(std::string(status.message()).rfind(bad.field + " is", 0), 0u) << status;
  }
}

TEST(SpanSettings, ReachMustFitTheTrainedContext) {
  // (8 + 1) * 32 + 512 + 32 + 512 = 1344.
  SpanSettings settings;
  EXPECT_TRUE(Validate(settings, kBlock, kChunk, 1344).ok());
  const absl::Status status = Validate(settings, kBlock, kChunk, 1343);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("1344"), std::string::npos) << status;
  settings.remap_positions = false;
  EXPECT_TRUE(Validate(settings, kBlock, kChunk, 1343).ok());
  settings.remap_positions = true;
  settings.policy = AttentionPolicy::kWindow;  // no span: 256 positions fewer
  EXPECT_TRUE(Validate(settings, kBlock, kChunk, 1088).ok());
  EXPECT_FALSE(Validate(settings, kBlock, kChunk, 1087).ok());
  settings.policy = AttentionPolicy::kFull;
  EXPECT_TRUE(Validate(settings, kBlock, kChunk, 1).ok());
}

TEST(SpanSettings, TheLargestAllowedDoNotOverflow) {
  SpanSettings settings;
  settings.window_tokens = kMaxWindowTokens;
  settings.span_blocks = kMaxSpanBlocks;
  settings.sink_blocks = kMaxSinkBlocks;
  settings.candidate_budget = kMaxCandidateBudget;
  const int32_t huge = std::numeric_limits<int32_t>::max();
  EXPECT_FALSE(Validate(settings, huge, huge, huge).ok());
  EXPECT_TRUE(Validate(settings, 256, kChunk, huge).ok());
}

TEST(SpanSettings, OnlyTheTwoStageRuleNeedsABudget) {
  SpanSettings settings;
  settings.rule = RetrievalRule::kExact;
  settings.remap_positions = false;
  settings.span_blocks = settings.candidate_budget + 1;
  EXPECT_TRUE(Validate(settings, kBlock, kChunk, kTrained).ok());
}

TEST(SpanSettings, SummaryOfEachRule) {
  EXPECT_EQ(SummaryFor(RetrievalRule::kTwoStage, SummaryKind::kBounds), SummaryKind::kBounds);
  EXPECT_EQ(SummaryFor(RetrievalRule::kBound, SummaryKind::kBounds), SummaryKind::kBounds);
  EXPECT_EQ(SummaryFor(RetrievalRule::kExact, SummaryKind::kBounds), SummaryKind::kNone);
  EXPECT_EQ(SummaryFor(RetrievalRule::kMean, SummaryKind::kBounds), SummaryKind::kMean);
  EXPECT_EQ(SummaryFor(RetrievalRule::kPooled, SummaryKind::kBounds), SummaryKind::kPooled);
}

}  // namespace
}  // namespace eidetic::memory
