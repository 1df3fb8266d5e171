#include "engine/scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PlanCandidate Decode(int64_t last_step = -1) {
  return {.chunk_tokens = 1, .decoding = true, .last_step = last_step};
}
PlanCandidate Prefill(int64_t tokens, int64_t last_step = -1) {
  return {.chunk_tokens = tokens, .last_step = last_step};
}

// Of one tenant.
std::vector<int32_t> Plan(std::span<const PlanCandidate> candidates, const PlanLimits& limits) {
  return eidetic::Plan(candidates, std::vector<PlanTenant>(1), limits);
}

TEST(PlanTest, WorkedExample) {
  const PlanCandidate candidates[] = {Decode(), Prefill(512), Decode(), Prefill(100), Prefill(80)};
  EXPECT_THAT(Plan(candidates, {.max_batch_sequences = 64, .max_batch_tokens = 600}),
              ElementsAre(0, 2, 1, 4));
}

TEST(PlanTest, NothingToDo) { EXPECT_THAT(Plan({}, {}), IsEmpty()); }

TEST(PlanTest, APausedSequenceIsLeftOut) {
  PlanCandidate candidates[] = {Decode(), Decode(), Prefill(8)};
  candidates[0].paused = candidates[2].paused = true;
  EXPECT_THAT(Plan(candidates, {}), ElementsAre(1));
}

TEST(PlanTest, AChunkOverTheBudgetIsTakenAlone) {
  const PlanCandidate candidates[] = {Prefill(512), Prefill(512)};
  EXPECT_THAT(Plan(candidates, {.max_batch_tokens = 100}), ElementsAre(0));
}

TEST(PlanTest, AChunkWithoutRowsFitsAnyBudget) {
  const PlanCandidate candidates[] = {{.chunk_tokens = 0, .decoding = true}, Prefill(512)};
  EXPECT_THAT(Plan(candidates, {.max_batch_tokens = 1}), ElementsAre(0, 1));
}

TEST(PlanTest, DecodersServedLongestAgoComeFirstWhenPlacesAreFew) {
  const PlanCandidate candidates[] = {Decode(7), Decode(5), Decode(6)};
  EXPECT_THAT(Plan(candidates, {.max_batch_sequences = 2}), ElementsAre(1, 2));
}

TEST(PlanTest, FullOfDecodersAPrefillStillGetsAPlace) {
  const PlanCandidate candidates[] = {Decode(), Decode(), Decode(), Prefill(64)};
  EXPECT_THAT(Plan(candidates, {.max_batch_sequences = 3}), ElementsAre(0, 1, 3));
}

TEST(PlanTest, EarlierArrivalBreaksTies) {
  const PlanCandidate candidates[] = {{.chunk_tokens = 60, .arrival = 9},
                                      {.chunk_tokens = 60, .arrival = 3}};
  EXPECT_THAT(Plan(candidates, {.max_batch_tokens = 100}), ElementsAre(1));
}

// Steps a fixed crowd and gives the longest pause of any member.
int64_t LongestPause(std::vector<PlanCandidate> crowd, const PlanLimits& limits) {
  int64_t longest = 0;
  for (int64_t step = 0; step < 200; ++step) {
    for (int32_t i : Plan(crowd, limits)) {
      longest = std::max(longest, step - crowd[i].last_step);
      crowd[i].last_step = step;
    }
  }
  for (const PlanCandidate& c : crowd) longest = std::max(longest, 200 - c.last_step);
  return longest;
}

TEST(PlanTest, NobodyStarves) {
  const std::vector<PlanCandidate> crowd = {Prefill(512), Prefill(10), Decode(), Prefill(512),
                                            Decode(),     Prefill(99), Decode()};
  EXPECT_LE(LongestPause(crowd, {.max_batch_sequences = 4, .max_batch_tokens = 512}), 4);
  EXPECT_LE(LongestPause(crowd, {.max_batch_sequences = 1, .max_batch_tokens = 512}), 7);
}

TEST(PlanTest, NewcomersDoNotStarveALongPrompt) {
  // Each step admits a fresh prompt; the long one must get its turn all the same.
  PlanCandidate longest = Prefill(512, 0);
  int64_t served = 0;
  for (int64_t step = 1; step <= 100; ++step) {
    const PlanCandidate candidates[] = {longest,
                                        {.chunk_tokens = 512, .last_step = step, .arrival = step}};
    for (int32_t i : Plan(candidates, {.max_batch_tokens = 512})) {
      if (i == 0) longest.last_step = step, ++served;
    }
  }
  EXPECT_GE(served, 50);
}

// Steps a crowd that always wants more, and gives the tokens computed for each tenant.
std::vector<int64_t> Shares(std::vector<PlanCandidate> crowd, std::vector<PlanTenant> tenants,
                            const PlanLimits& limits) {
  std::vector<int64_t> tokens(tenants.size());
  for (int64_t step = 0; step < 1000; ++step) {
    for (int32_t i : eidetic::Plan(crowd, tenants, limits)) {
      PlanCandidate& c = crowd[i];
      c.last_step = step;
      tokens[c.tenant] += c.chunk_tokens;
      tenants[c.tenant].served += c.chunk_tokens / tenants[c.tenant].weight;
    }
  }
  return tokens;
}

TEST(PlanTest, TenantsGetPlacesByWeightHoweverManySequencesTheyHave) {
  std::vector<PlanCandidate> crowd(50, Decode());
  for (int i = 0; i < 10; ++i) {
    crowd.push_back(Decode());
    crowd.back().tenant = 1;
  }
  const auto even = Shares(crowd, {{.weight = 1}, {.weight = 1}}, {.max_batch_sequences = 8});
  EXPECT_NEAR(even[0], 4000, 10);
  EXPECT_NEAR(even[1], 4000, 10);
  const auto weighted = Shares(crowd, {{.weight = 1}, {.weight = 3}}, {.max_batch_sequences = 8});
  EXPECT_NEAR(weighted[0], 2000, 10);
  EXPECT_NEAR(weighted[1], 6000, 10);
}

TEST(PlanTest, TenantsGetPrefillByWeightWhateverTheirChunks) {
  std::vector<PlanCandidate> crowd(20, Prefill(512));
  crowd.push_back(Prefill(64));
  crowd.back().tenant = 1;
  crowd.push_back(Prefill(64));
  crowd.back().tenant = 1;
  // Both of the second tenant's fit every step beside one chunk of the first's.
  const auto tokens = Shares(crowd, {{.weight = 1}, {.weight = 1}}, {.max_batch_tokens = 640});
  EXPECT_EQ(tokens[1], 128 * 1000);
  EXPECT_NEAR(tokens[0], 512 * 1000, 1024);
}

TEST(PlanTest, ManyStreamsOfOneTenantDoNotHoldUpThePromptsOfAnother) {
  std::vector<PlanCandidate> crowd(20, Decode());
  for (int i = 0; i < 5; ++i) {
    crowd.push_back(Prefill(64));
    crowd.back().tenant = 1;
  }
  const PlanTenant tenants[] = {{.served = 1000}, {.served = 0}};
  EXPECT_THAT(eidetic::Plan(crowd, tenants, {.max_batch_sequences = 8}),
              ElementsAre(0, 1, 2, 20, 21, 22, 23, 24));
  // What does not fit leaves its place.
  EXPECT_THAT(eidetic::Plan(crowd, tenants, {.max_batch_sequences = 8, .max_batch_tokens = 136}),
              ElementsAre(0, 1, 2, 20, 21, 3, 4, 5));
}

TEST(PlanTest, ATenantWithManyPromptsDoesNotMakeTheStepLongForOthers) {
  std::vector<PlanCandidate> crowd(20, Prefill(64));
  crowd.push_back(Decode());
  crowd.back().tenant = 1;
  PlanTenant tenants[] = {{}, {}};
  const PlanLimits limits = {.max_batch_sequences = 64, .max_batch_tokens = 512};
  EXPECT_THAT(eidetic::Plan(crowd, tenants, limits), ElementsAre(20, 0, 1, 2, 3));
  tenants[0].weight = 3;
  EXPECT_THAT(eidetic::Plan(crowd, tenants, limits), ElementsAre(20, 0, 1, 2, 3, 4, 5));
  // Alone it has all of the step.
  crowd.pop_back();
  EXPECT_EQ(eidetic::Plan(crowd, tenants, limits).size(), 8u);
}

TEST(PlanTest, WhatOneTenantLeavesTheOthersTake) {
  std::vector<PlanCandidate> crowd(20, Decode());
  crowd[0].tenant = 1;
  const auto tokens = Shares(crowd, {{.weight = 1}, {.weight = 1}}, {.max_batch_sequences = 8});
  EXPECT_EQ(tokens[1], 1000);
  EXPECT_EQ(tokens[0], 7000);
}

}  // namespace
}  // namespace eidetic
