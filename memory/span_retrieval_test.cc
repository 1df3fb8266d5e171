#include "memory/span_retrieval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "memory/key_bank.h"
#include "memory/span_retrieval_oracle.h"

namespace eidetic::memory {
namespace {

std::vector<float> ScoresOf(const SpanQuery& query, const std::vector<float>& scores,
                            const std::vector<BlockIndex>& blocks) {
  std::vector<float> chosen;
  for (BlockIndex block : blocks) chosen.push_back(scores[block - query.first]);
  return chosen;
}

// One bank, and queries of all families about random stretches of it.
class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : random_(seed), bank_(RandomLayout(), RandomBlocks()) {
    bank_.FillKeys(RandomFamily(), Draw(0, 1) == 0, random_);
    // Equal blocks: ties that only the block's number breaks.
    for (int32_t i = Draw(0, 3) == 0 ? bank_.blocks() : 0; i > 0; --i) {
      bank_.CopyBlock(Draw(0, bank_.blocks() - 1), Draw(0, bank_.blocks() - 1));
    }
    bank_.Summarize(SummaryKind::kBounds);
  }

  void AskOnce() {
    std::vector<float> queries(Draw(1, 3) * bank_.layout().head_dim);
    KeyBank::Fill(RandomFamily(), random_, queries.data(), queries.size());
    const BlockIndex first = Draw(0, bank_.blocks());
    SpanQuery query = bank_.Ask(queries, first, Draw(first, bank_.blocks()));
    query.kv_head = Draw(0, bank_.layout().kv_heads - 1);
    query.rule = Draw(0, 9) == 0 ? RetrievalRule::kExact : RetrievalRule::kTwoStage;
    query.span_blocks = Draw(0, 16);
    query.first_candidates = Draw(1, 1 + bank_.blocks() / 4);
    query.candidate_budget =
        std::max({query.span_blocks, query.first_candidates, Draw(1, bank_.blocks())});
    Check(query, ChooseSpan(bank_.layout(), query, &scratch_));
  }

  // Queries with something to choose, and how they ended.
  int64_t tried = 0, proven_early = 0, unproven = 0;

 private:
  int32_t Draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  PageLayout RandomLayout() { return {16 * Draw(1, 3), Draw(1, 2), Draw(1, 9)}; }
  int32_t RandomBlocks() { return Draw(0, 19) == 0 ? Draw(100, 400) : Draw(1, 50); }
  Family RandomFamily() { return Family(Draw(0, kFamilies - 1)); }

  void Check(const SpanQuery& query, const SpanChoice& choice) {
    const int32_t distant = query.last - query.first;
    const int32_t chosen = std::min(query.span_blocks, distant);
    ASSERT_EQ(choice.blocks.size(), size_t(chosen));
    ASSERT_EQ(choice.scores.size(), size_t(chosen));
    if (chosen == distant || chosen == 0) {
      ASSERT_TRUE(choice.proven);
      ASSERT_EQ(choice.candidates_read, 0);
      for (int32_t i = 0; i < chosen; ++i) ASSERT_EQ(choice.blocks[i], query.first + i);
      return;
    }
    const std::vector<float> scores = OracleScores(bank_.layout(), query);
    ASSERT_EQ(choice.scores, ScoresOf(query, scores, choice.blocks));
    if (query.rule == RetrievalRule::kTwoStage) {
      ASSERT_LE(choice.candidates_read, query.candidate_budget);
      ASSERT_GE(choice.candidates_read, chosen);
      ASSERT_TRUE(choice.proven || query.candidate_budget < distant);
    } else {
      ASSERT_TRUE(choice.proven);
      ASSERT_EQ(choice.candidates_read, distant);
    }
    const bool same = choice.blocks == OracleChoice(query, scores);
    ASSERT_TRUE(same || !choice.proven);
    ++tried;
    proven_early += choice.proven && choice.candidates_read < distant;
    unproven += !choice.proven;
  }

  KeyBank::Random random_;
  KeyBank bank_;
  SpanScratch scratch_;
};

TEST(ChooseSpan, WhatIsCalledProvenIsTheOraclesChoice) {
  constexpr int64_t kQueries = 100000;
  int64_t tried = 0, proven_early = 0, unproven = 0;
  for (int bank = 0; tried < kQueries; ++bank) {
    Fuzz fuzz(bank);
    for (int i = 0; i < 100; ++i) {
      fuzz.AskOnce();
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "bank " << bank << ", query " << i;
    }
    tried += fuzz.tried;
    proven_early += fuzz.proven_early;
    unproven += fuzz.unproven;
  }
  // Both ways out were taken often enough to mean something.
  EXPECT_GT(proven_early, kQueries / 20);
  EXPECT_GT(unproven, kQueries / 20);
}

class ChooseSpanTest : public testing::Test {
 protected:
  // Blocks in one dimension: every key of block b is keys[b].
  KeyBank Bank(const std::vector<float>& keys) {
    KeyBank bank(PageLayout{16, 1, 1}, static_cast<int32_t>(keys.size()));
    for (size_t b = 0; b < keys.size(); ++b) {
      for (int t = 0; t < 16; ++t) *bank.Key(b, 0, 0, t) = keys[b];
    }
    bank.Summarize(SummaryKind::kBounds);
    return bank;
  }
  SpanScratch scratch_;
  const std::vector<float> one_ = {1.0f};
};

TEST_F(ChooseSpanTest, TightBoundsAreProvenAtOnce) {
  KeyBank bank = Bank({5, 1, 9, 2, 8, 3, 7, 4});
  SpanQuery query = bank.Ask(one_, 0, 8);
  query.span_blocks = 2;
  query.first_candidates = 2;
  const SpanChoice choice = ChooseSpan(bank.layout(), query, &scratch_);
  EXPECT_EQ(choice.blocks, (std::vector<BlockIndex>{2, 4}));
  EXPECT_EQ(choice.scores, (std::vector<float>{9, 8}));
  EXPECT_TRUE(choice.proven);
  EXPECT_EQ(choice.candidates_read, 2);
}

TEST_F(ChooseSpanTest, EqualScoresGoToTheLowerBlock) {
  KeyBank bank = Bank({0, 6, 6, 6, 6, 0});
  SpanQuery query = bank.Ask(one_, 2, 6);
  query.span_blocks = 2;
  query.first_candidates = 1;
  for (RetrievalRule rule :
       {RetrievalRule::kTwoStage, RetrievalRule::kExact, RetrievalRule::kBound}) {
    query.rule = rule;
    EXPECT_EQ(ChooseSpan(bank.layout(), query, &scratch_).blocks, (std::vector<BlockIndex>{2, 3}));
  }
}

TEST_F(ChooseSpanTest, WideningStopsAtTheBudget) {
  // Every bound is 100, and the best key hides in the last block.
  KeyBank bank(PageLayout{16, 1, 2}, 40);
  for (BlockIndex b = 0; b < 40; ++b) {
    *bank.Key(b, 0, 0, 0) = 50;
    *bank.Key(b, 0, 1, b == 39 ? 0 : 1) = 50;
  }
  bank.Summarize(SummaryKind::kBounds);
  const std::vector<float> both = {1.0f, 1.0f};
  SpanQuery query = bank.Ask(both, 0, 40);
  query.span_blocks = 1;
  query.first_candidates = 4;
  query.candidate_budget = 39;
  SpanChoice choice = ChooseSpan(bank.layout(), query, &scratch_);
  EXPECT_FALSE(choice.proven);
  EXPECT_EQ(choice.candidates_read, 39);
  EXPECT_EQ(choice.blocks, std::vector<BlockIndex>{0});
  query.candidate_budget = 40;
  choice = ChooseSpan(bank.layout(), query, &scratch_);
  EXPECT_TRUE(choice.proven);
  EXPECT_EQ(choice.blocks, std::vector<BlockIndex>{39});
  EXPECT_EQ(choice.scores, std::vector<float>{100});
}

TEST_F(ChooseSpanTest, BrokenKeysNeitherCrashNorWin) {
  KeyBank bank = Bank({NAN, 1, NAN, 2, NAN, NAN, 3, NAN});
  SpanQuery query = bank.Ask(one_, 0, 8);
  query.span_blocks = 3;
  query.first_candidates = 1;
  const SpanChoice choice = ChooseSpan(bank.layout(), query, &scratch_);
  EXPECT_EQ(choice.blocks, (std::vector<BlockIndex>{1, 3, 6}));
  const std::vector<float> broken = {NAN};
  query.queries = broken.data();
  EXPECT_EQ(ChooseSpan(bank.layout(), query, &scratch_).blocks, (std::vector<BlockIndex>{0, 1, 2}));
}

TEST_F(ChooseSpanTest, WhenAllFitNothingIsRead) {
  SpanQuery query;
  query.queries = one_.data();
  query.query_count = 1;
  query.first = 3;
  query.last = 6;
  query.span_blocks = 3;
  const PageLayout layout{16, 1, 1};
  for (int rule = 0; rule <= static_cast<int>(RetrievalRule::kPooled); ++rule) {
    query.rule = static_cast<RetrievalRule>(rule);
    query.summary = SummaryFor(query.rule, SummaryKind::kBounds);
    const SpanChoice choice = ChooseSpan(layout, query, &scratch_);
    EXPECT_EQ(choice.blocks, (std::vector<BlockIndex>{3, 4, 5}));
    EXPECT_EQ(choice.scores, std::vector<float>(3, 0.0f));
    EXPECT_TRUE(choice.proven);
    EXPECT_EQ(choice.candidates_read, 0);
  }
  query.last = query.first;
  EXPECT_TRUE(ChooseSpan(layout, query, &scratch_).blocks.empty());
}

TEST_F(ChooseSpanTest, RulesBySummaryReadNoKeys) {
  // Block 1 has the largest key, block 2 the largest mean, block 0 the largest bound.
  KeyBank bank(PageLayout{16, 1, 2}, 3);
  *bank.Key(0, 0, 0, 0) = *bank.Key(0, 0, 1, 1) = 8;
  *bank.Key(1, 0, 0, 0) = 10;
  for (int t = 0; t < 16; ++t) *bank.Key(2, 0, 0, t) = 5;
  const std::vector<float> both = {1.0f, 1.0f};
  const std::pair<RetrievalRule, BlockIndex> cases[] = {{RetrievalRule::kBound, 0},
                                                        {RetrievalRule::kTwoStage, 1},
                                                        {RetrievalRule::kExact, 1},
                                                        {RetrievalRule::kMean, 2}};
  for (const auto& [rule, best] : cases) {
    bank.Summarize(SummaryFor(rule, SummaryKind::kBounds));
    SpanQuery query = bank.Ask(both, 0, 3);
    query.rule = rule;
    query.span_blocks = 1;
    query.first_candidates = 1;
    const SpanChoice choice = ChooseSpan(bank.layout(), query, &scratch_);
    EXPECT_EQ(choice.blocks, std::vector<BlockIndex>{best}) << int(rule);
    const bool reads = rule == RetrievalRule::kTwoStage || rule == RetrievalRule::kExact;
    EXPECT_EQ(choice.candidates_read > 0, reads);
    EXPECT_EQ(choice.proven, reads);
  }
}

TEST_F(ChooseSpanTest, AChunksQueriesShareTheLargestRelevance) {
  KeyBank::Random random(6);
  KeyBank bank(PageLayout{32, 2, 64}, 300);
  bank.FillKeys(Family::kGaussian, true, random);
  bank.Summarize(SummaryKind::kBounds);
  std::vector<float> queries(1536 * 64);
  KeyBank::Fill(Family::kGaussian, random, queries.data(), queries.size());
  SpanQuery query = bank.Ask(queries, 1, 290);
  query.kv_head = 1;
  query.first_candidates = 16;
  const SpanChoice choice = ChooseSpan(bank.layout(), query, &scratch_);
  query.rule = RetrievalRule::kExact;
  const SpanChoice exact = ChooseSpan(bank.layout(), query, &scratch_);
  EXPECT_TRUE(choice.proven);
  EXPECT_EQ(choice.blocks, exact.blocks);
  EXPECT_EQ(choice.scores, exact.scores);
  std::vector<float> best(289, -std::numeric_limits<float>::infinity());
  for (int i = 0; i < 1536; i += 96) {
    SpanQuery part = query;
    part.queries = queries.data() + i * 64;
    part.query_count = 96;
    part.span_blocks = 288;
    const SpanChoice scored = ChooseSpan(bank.layout(), part, &scratch_);
    for (size_t j = 0; j < scored.blocks.size(); ++j) {
      best[scored.blocks[j] - 1] = std::max(best[scored.blocks[j] - 1], scored.scores[j]);
    }
  }
  EXPECT_EQ(exact.blocks, OracleChoice(query, best));
}

TEST_F(ChooseSpanTest, AnIndexOfAnotherKindIsOurBug) {
  KeyBank bank = Bank({1, 2, 3});
  SpanQuery query = bank.Ask(one_, 0, 3);
  query.rule = RetrievalRule::kMean;
  EXPECT_DEATH(ChooseSpan(bank.layout(), query, &scratch_), "another kind");
}

}  // namespace
}  // namespace eidetic::memory
