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

}  // namespace
}  // namespace eidetic
