#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "memory/key_bank.h"
#include "memory/span_retrieval.h"

namespace eidetic::memory {
namespace {

// Eight significant bits: rounding to nearest is off by 2^-8 of the value at most.
constexpr double kBf16Error = 1.0 / 256;
constexpr PageLayout kLayout{.block_size = 32, .kv_heads = 2, .head_dim = 5};

class BlockSummary : public testing::Test {
 protected:
  BlockSummary() : bank_(kLayout, 20) {
    KeyBank::Random random(4);
    bank_.FillKeys(Family::kGaussian, false, random);
  }

  // Channel d of one block's summary vector, out of the tile.
  float Summary(BlockIndex block, int32_t kv_head, int32_t vector, int32_t d) {
    const std::vector<float> query(kLayout.head_dim);
    const SpanQuery asked = bank_.Ask(query, 0, 20);
    return Widen(
        kLayout.Summary(asked.tiles[block / kTileBlocks], kv_head, vector,
                        SummaryVectors(asked.summary))[d * kTileBlocks + block % kTileBlocks]);
  }

  std::vector<double> Channel(BlockIndex block, int32_t kv_head, int32_t d) {
    const float* keys = bank_.Key(block, kv_head, d, 0);
    return std::vector<double>(keys, keys + kLayout.block_size);
  }

  double Mean(BlockIndex block, int32_t kv_head, int32_t d) {
    double sum = 0;
    for (double key : Channel(block, kv_head, d)) sum += key;
    return sum / kLayout.block_size;
  }

  KeyBank bank_;
};

TEST_F(BlockSummary, BoundsAreTheChannelsMaximumAndMinimum) {
  bank_.Summarize(SummaryKind::kBounds);
  for (BlockIndex b = 0; b < 20; ++b) {
    for (int32_t g = 0; g < 2; ++g) {
      for (int32_t d = 0; d < kLayout.head_dim; ++d) {
        const std::vector<double> keys = Channel(b, g, d);
        const float high = *std::max_element(keys.begin(), keys.end());
        const float low = *std::min_element(keys.begin(), keys.end());
        EXPECT_EQ(Summary(b, g, 0, d), Widen(RoundUp(high)));
        EXPECT_EQ(Summary(b, g, 1, d), Widen(RoundDown(low)));
      }
    }
  }
}

TEST_F(BlockSummary, BoundsPassOverNan) {
  *bank_.Key(3, 1, 2, 0) = NAN;
  *bank_.Key(3, 1, 2, 31) = 99;
  for (int t = 0; t < 32; ++t) *bank_.Key(4, 0, 0, t) = NAN;
  bank_.Summarize(SummaryKind::kBounds);
  EXPECT_EQ(Summary(3, 1, 0, 2), 99);
  EXPECT_LT(Summary(3, 1, 1, 2), 0);
  EXPECT_EQ(Summary(4, 0, 0, 0), -std::numeric_limits<float>::infinity());
}

TEST_F(BlockSummary, MeanIsTheMean) {
  bank_.Summarize(SummaryKind::kMean);
  for (BlockIndex b = 0; b < 20; ++b) {
    for (int32_t d = 0; d < kLayout.head_dim; ++d) {
      EXPECT_NEAR(Summary(b, 1, 0, d), Mean(b, 1, d), kBf16Error * std::abs(Mean(b, 1, d)) + 1e-6);
    }
  }
}

TEST_F(BlockSummary, PooledIsTheMeanKeysAttentionOverTheBlock) {
  bank_.Summarize(SummaryKind::kPooled);
  for (BlockIndex b = 0; b < 20; ++b) {
    std::vector<double> weights(kLayout.block_size);
    double total = 0;
    for (int32_t t = 0; t < kLayout.block_size; ++t) {
      double logit = 0;
      for (int32_t d = 0; d < kLayout.head_dim; ++d) logit += Mean(b, 0, d) * Channel(b, 0, d)[t];
      total += weights[t] = std::exp(logit / std::sqrt(5.0));
    }
    for (int32_t d = 0; d < kLayout.head_dim; ++d) {
      double expected = 0;
      for (int32_t t = 0; t < kLayout.block_size; ++t) {
        expected += weights[t] / total * Channel(b, 0, d)[t];
      }
      EXPECT_NEAR(Summary(b, 0, 0, d), expected, kBf16Error * std::abs(expected) + 1e-5);
    }
  }
}

TEST_F(BlockSummary, OfEqualKeysIsTheKey) {
  for (int32_t d = 0; d < kLayout.head_dim; ++d) {
    for (int t = 0; t < 32; ++t) *bank_.Key(0, 0, d, t) = 1024.0f * (d + 1);
  }
  for (SummaryKind kind : {SummaryKind::kBounds, SummaryKind::kMean, SummaryKind::kPooled}) {
    bank_.Summarize(kind);
    for (int32_t d = 0; d < kLayout.head_dim; ++d) {
      EXPECT_FLOAT_EQ(Summary(0, 0, 0, d), 1024.0f * (d + 1));
    }
  }
}

TEST_F(BlockSummary, TouchesItsOwnLaneAlone) {
  for (SummaryKind kind : {SummaryKind::kNone, SummaryKind::kBounds, SummaryKind::kPooled}) {
    const Bf16 untouched = RoundNearest(7.0f);
    std::vector<Bf16> tile(kLayout.tile_bytes(SummaryKind::kBounds) / sizeof(Bf16), untouched);
    SummarizeBlock(kLayout, kind, bank_.Ask(std::vector<float>(5), 0, 20).pages[17], 17,
                   tile.data());
    int64_t touched = 0;
    for (size_t i = 0; i < tile.size(); ++i) {
      if (tile[i] == untouched) continue;
      ++touched;
      EXPECT_EQ(i % kTileBlocks, 1u);
    }
    EXPECT_EQ(touched, SummaryVectors(kind) * kLayout.kv_heads * kLayout.head_dim);
  }
}

}  // namespace
}  // namespace eidetic::memory
