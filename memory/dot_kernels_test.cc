#include "memory/dot_kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "hwy/targets.h"
#include "memory/key_bank.h"
#include "memory/span_retrieval_oracle.h"

namespace eidetic::memory {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Makes the dispatcher take one instruction set while it lives.
class WithTarget {
 public:
  explicit WithTarget(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ~WithTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// The instruction sets that this CPU has among those that are compiled in.
std::vector<int64_t> FusedTargets() {
  std::vector<int64_t> targets;
  for (int64_t target : {HWY_AVX3, HWY_AVX2, HWY_NEON}) {
    if (hwy::SupportedTargets() & target) targets.push_back(target);
  }
  return targets;
}

// Scores, or bounds, of all the bank's blocks by the kernels.
std::vector<float> KernelScores(KeyBank& bank, const SpanQuery& query) {
  const QueryRows rows{query.queries, query.query_count, bank.layout().head_dim};
  std::vector<float> scores;
  for (BlockIndex b = 0; b < bank.blocks(); ++b) {
    const float* keys = bank.layout().Keys(query.pages[b], query.kv_head);
    scores.push_back(MaxDot(rows, keys, bank.layout().block_size));
  }
  return scores;
}

std::vector<float> KernelBounds(KeyBank& bank, const SpanQuery& query) {
  const QueryRows rows{query.queries, query.query_count, bank.layout().head_dim};
  const int32_t tiles = (bank.blocks() + kTileBlocks - 1) / kTileBlocks;
  std::vector<float> bounds(tiles * kTileBlocks);
  TileBounds(rows, query.tiles, tiles, bank.layout().SummaryOffset(query.kv_head, 0, 2),
             bounds.data());
  bounds.resize(bank.blocks());
  return bounds;
}

// Calls `check` for banks and queries of every family and many shapes.
template <typename Check>
void ForManyQueries(Check check) {
  KeyBank::Random random(11);
  for (int round = 0; round < 96; ++round) {
    const int32_t head_dim = 1 + random() % 70;
    const int32_t block_size = 16 * (1 + random() % 4);
    KeyBank bank(PageLayout{block_size, 2, head_dim}, 1 + random() % 40);
    bank.FillKeys(Family(round % kFamilies), round % 3 == 0, random);
    bank.Summarize(SummaryKind::kBounds);
    for (int ask = 0; ask < 4; ++ask) {
      const int32_t count = ask == 3 ? 37 : 1 + random() % 8;
      std::vector<float> queries(count * head_dim);
      KeyBank::Fill(Family(random() % kFamilies), random, queries.data(), queries.size());
      SpanQuery query = bank.Ask(queries, 0, bank.blocks());
      query.kv_head = random() % 2;
      check(bank, query);
    }
  }
}

TEST(DotKernels, ScoresAndBoundsHaveTheOraclesBits) {
  for (int64_t target : FusedTargets()) {
    WithTarget with(target);
    ForManyQueries([&](KeyBank& bank, const SpanQuery& query) {
      ASSERT_EQ(KernelScores(bank, query), OracleScores(bank.layout(), query))
          << hwy::TargetName(target);
      ASSERT_EQ(KernelBounds(bank, query), OracleBounds(bank.layout(), query))
          << hwy::TargetName(target);
    });
  }
}

TEST(DotKernels, NoBoundIsBelowAScoreOnAnyInstructionSet) {
  std::vector<int64_t> targets = FusedTargets();
  targets.push_back(HWY_SCALAR);
  for (int64_t target : targets) {
    WithTarget with(target);
    int64_t tight = 0;
    ForManyQueries([&](KeyBank& bank, const SpanQuery& query) {
      const std::vector<float> scores = KernelScores(bank, query);
      const std::vector<float> bounds = KernelBounds(bank, query);
      for (size_t i = 0; i < scores.size(); ++i) {
        ASSERT_FALSE(std::isnan(scores[i]));
        ASSERT_GE(bounds[i], scores[i]) << hwy::TargetName(target);
        tight += bounds[i] == scores[i];
      }
    });
    EXPECT_GT(tight, 0) << "no query tried the limit";
  }
}

TEST(DotKernels, TheBaselineAgreesToRounding) {
  KeyBank::Random random(2);
  KeyBank bank(PageLayout{32, 1, 64}, 20);
  bank.FillKeys(Family::kGaussian, false, random);
  bank.Summarize(SummaryKind::kBounds);
  std::vector<float> queries(3 * 64);
  KeyBank::Fill(Family::kGaussian, random, queries.data(), queries.size());
  const SpanQuery query = bank.Ask(queries, 0, 20);
  WithTarget with(HWY_SCALAR);
  const std::vector<float> scores = KernelScores(bank, query);
  const std::vector<float> oracle = OracleScores(bank.layout(), query);
  // 64 roundings of sums below 64 * 16: an epsilon each.
  for (int i = 0; i < 20; ++i) EXPECT_NEAR(scores[i], oracle[i], 64 * 1024 * 6e-8f);
}

TEST(DotKernels, AScoreDoesNotDependOnItsCompany) {
  KeyBank::Random random(5);
  KeyBank bank(PageLayout{32, 1, 64}, 1);
  bank.FillKeys(Family::kGaussian, false, random);
  bank.Summarize(SummaryKind::kBounds);
  std::vector<float> queries(50 * 64);
  KeyBank::Fill(Family::kGaussian, random, queries.data(), queries.size());
  float alone = -kInfinity, bound_alone = -kInfinity;
  for (int i = 0; i < 50; ++i) {
    const std::vector<float> one(queries.begin() + i * 64, queries.begin() + (i + 1) * 64);
    const SpanQuery query = bank.Ask(one, 0, 1);
    alone = std::max(alone, KernelScores(bank, query)[0]);
    bound_alone = std::max(bound_alone, KernelBounds(bank, query)[0]);
  }
  const SpanQuery query = bank.Ask(queries, 0, 1);
  EXPECT_EQ(KernelScores(bank, query)[0], alone);
  EXPECT_EQ(KernelBounds(bank, query)[0], bound_alone);
}

TEST(DotKernels, NanIsNoScoreAndNoBound) {
  KeyBank bank(PageLayout{16, 1, 1}, 3);
  for (int t = 0; t < 16; ++t) *bank.Key(0, 0, 0, t) = NAN;
  for (int t = 0; t < 16; ++t) *bank.Key(1, 0, 0, t) = t == 3 ? NAN : 2.0f;
  *bank.Key(2, 0, 0, 0) = kInfinity;
  bank.Summarize(SummaryKind::kBounds);
  const std::vector<float> one = {1.0f}, zero = {0.0f}, nan = {NAN};
  EXPECT_EQ(KernelScores(bank, bank.Ask(one, 0, 3)),
            (std::vector<float>{-kInfinity, 2, kInfinity}));
  // 0 * inf is NaN, yet the other tokens of block 2 score 0.
  EXPECT_EQ(KernelScores(bank, bank.Ask(zero, 0, 3)), (std::vector<float>{-kInfinity, 0, 0}));
  EXPECT_EQ(KernelBounds(bank, bank.Ask(zero, 0, 3))[2], kInfinity);
  EXPECT_EQ(KernelScores(bank, bank.Ask(nan, 0, 3)), std::vector<float>(3, -kInfinity));
  EXPECT_EQ(KernelBounds(bank, bank.Ask(nan, 0, 3)), std::vector<float>(3, kInfinity));
}

TEST(DotKernels, MinusZeroIsZero) {
  KeyBank bank(PageLayout{16, 1, 1}, 1);
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (int t = 0; t < 16; ++t) *bank.Key(0, 0, 0, t) = -tiny;
  const std::vector<float> query = {tiny};  // the product rounds to -0
  EXPECT_EQ(std::bit_cast<uint32_t>(KernelScores(bank, bank.Ask(query, 0, 1))[0]), 0u);
}

TEST(TileDots, IsTheLargestDotWithEachBlocksVector) {
  KeyBank::Random random(9);
  for (SummaryKind kind : {SummaryKind::kMean, SummaryKind::kPooled}) {
    KeyBank bank(PageLayout{16, 2, 7}, 37);
    bank.FillKeys(Family::kGaussian, false, random);
    bank.Summarize(kind);
    std::vector<float> queries(5 * 7);
    KeyBank::Fill(Family::kGaussian, random, queries.data(), queries.size());
    const SpanQuery query = bank.Ask(queries, 0, 37);
    std::vector<float> scores(48);
    TileDots({queries.data(), 5, 7}, query.tiles, 3, bank.layout().SummaryOffset(1, 0, 1),
             scores.data());
    for (BlockIndex b = 0; b < 37; ++b) {
      const Bf16* lane =
          bank.layout().Summary(query.tiles[b / kTileBlocks], 1, 0, 1) + b % kTileBlocks;
      float best = -kInfinity;
      for (int i = 0; i < 5; ++i) {
        float sum = 0;
        for (int d = 0; d < 7; ++d)
          sum = std::fma(queries[i * 7 + d], Widen(lane[d * kTileBlocks]), sum);
        best = std::max(best, sum);
      }
      EXPECT_NEAR(scores[b], best, 1e-5f);
    }
  }
}

}  // namespace
}  // namespace eidetic::memory
