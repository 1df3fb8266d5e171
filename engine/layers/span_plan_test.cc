#include "engine/layers/span_plan.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace eidetic {
namespace {

using memory::AttentionPolicy;
using memory::SpanSettings;
using memory::TokenKind;

TEST(SpanPlan, WorkedExample) {
  const SpanPlan plan = PlanSpan(SpanSettings{}, 32, true, 2000, TokenKind::kAppended);
  EXPECT_EQ(plan.window_begin, 1472);
  EXPECT_EQ(plan.sink_blocks, 1);
  EXPECT_EQ(plan.first, 1);
  EXPECT_EQ(plan.last, 46);
  EXPECT_EQ(plan.span_count, 8);
  EXPECT_TRUE(plan.remap);
}

TEST(SpanPlan, NothingLiesBetweenDistantBlocksAndWindow) {
  for (int64_t begin = 0; begin < 5000; begin += 7) {
    const SpanPlan plan = PlanSpan(SpanSettings{}, 32, true, begin, TokenKind::kGenerated);
    EXPECT_EQ(int64_t{plan.last} * 32, plan.window_begin);
    EXPECT_EQ(plan.first, plan.sink_blocks);
    EXPECT_LE(plan.window_begin, std::max<int64_t>(0, begin - 512));
    EXPECT_GT(plan.window_begin, begin - 512 - 32);
  }
}

TEST(SpanPlan, ShortSessionHasOnlyItsWindow) {
  for (const int64_t begin : {0, 1, 511, 512, 543}) {
    const SpanPlan plan = PlanSpan(SpanSettings{}, 32, true, begin, TokenKind::kGenerated);
    EXPECT_EQ(plan.window_begin, 0) << begin;
    EXPECT_EQ(plan.sink_blocks, 0) << begin;
    EXPECT_EQ(plan.span_count, 0) << begin;
  }
  // The first block leaves the window: it is a sink, not a distant block.
  const SpanPlan plan = PlanSpan(SpanSettings{}, 32, true, 544, TokenKind::kGenerated);
  EXPECT_EQ(plan.sink_blocks, 1);
  EXPECT_EQ(plan.span_count, 0);
}

TEST(SpanPlan, FullAttendsToEverythingAtTruePositions) {
  SpanSettings settings;
  settings.policy = AttentionPolicy::kFull;
  const SpanPlan plan = PlanSpan(settings, 32, true, 100000, TokenKind::kGenerated);
  EXPECT_EQ(plan.window_begin, 0);
  EXPECT_EQ(plan.sink_blocks, 0);
  EXPECT_EQ(plan.span_count, 0);
  EXPECT_FALSE(plan.remap);
}

TEST(SpanPlan, WhoDoesNotRetrieveHasNoSpan) {
  SpanSettings settings;
  EXPECT_EQ(PlanSpan(settings, 32, false, 9000, TokenKind::kGenerated).span_count, 0);
  settings.retrieve_in_prefill = false;
  EXPECT_EQ(PlanSpan(settings, 32, true, 9000, TokenKind::kAppended).span_count, 0);
  EXPECT_EQ(PlanSpan(settings, 32, true, 9000, TokenKind::kGenerated).span_count, 8);
  settings.policy = AttentionPolicy::kWindow;
  EXPECT_EQ(PlanSpan(settings, 32, true, 9000, TokenKind::kGenerated).span_count, 0);
}

}  // namespace
}  // namespace eidetic
