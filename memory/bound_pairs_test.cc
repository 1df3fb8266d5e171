// Bound >= exact, over many hostile pairs of a query and a block.
//
//   bound_pairs_test [--pairs=100000000]
//
// Blocks and queries of every family, a third of them turned so that one token has the extreme of
// every channel: the bound is then as tight as rounding outward lets it be.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "memory/dot_kernels.h"
#include "memory/key_bank.h"

ABSL_FLAG(int64_t, pairs, 500000, "of a query and a block, at least");

namespace eidetic::memory {
namespace {

// Each query asks all blocks: making them takes longer than asking.
constexpr int32_t kQueries = 1024;
constexpr int32_t kBlocks = 4 * kTileBlocks;

// Some tiles' blocks, and what asks them.
class Round {
 public:
  Round(int32_t head_dim, uint64_t seed) : layout_{.kv_heads = 1, .head_dim = head_dim} {
    KeyBank::Random random(seed);
    keys_.resize(layout_.keys_per_head() * kBlocks);
    tiles_.resize(tile_size() * kBlocks / kTileBlocks);
    queries_.resize(kQueries * head_dim);
    signs_.resize(head_dim);
    for (float& sign : signs_) sign = random() % 2 == 0 ? 1.0f : -1.0f;
    for (BlockIndex block = 0; block < kBlocks; ++block) FillBlock(block, random);
    for (int32_t i = 0; i < kQueries; ++i) FillQuery(i, random);
  }

  // How many blocks have a score above their bound.
  int64_t Violations() const {
    int64_t violations = 0;
    const void* tiles[kBlocks / kTileBlocks];
    for (int32_t i = 0; i < kBlocks / kTileBlocks; ++i) tiles[i] = tiles_.data() + i * tile_size();
    for (int32_t i = 0; i < kQueries; ++i) {
      const QueryRows query{queries_.data() + i * layout_.head_dim, 1, layout_.head_dim};
      float bounds[kBlocks];
      TileBounds(query, tiles, kBlocks / kTileBlocks, 0, bounds);
      for (BlockIndex block = 0; block < kBlocks; ++block) {
        const float* keys = keys_.data() + layout_.keys_per_head() * block;
        violations += bounds[block] >= MaxDot(query, keys, layout_.block_size) ? 0 : 1;
      }
    }
    return violations;
  }

 private:
  size_t tile_size() const { return layout_.tile_bytes(SummaryKind::kBounds) / sizeof(Bf16); }

  void FillBlock(BlockIndex block, KeyBank::Random& random) {
    float* keys = keys_.data() + layout_.keys_per_head() * block;
    const auto family = static_cast<Family>(random() % kFamilies);
    KeyBank::Fill(family, random, keys, layout_.head_dim * layout_.block_size);
    if (random() % 3 == 0) {
      const auto extreme = static_cast<int32_t>(random() % layout_.block_size);
      for (int32_t d = 0; d < layout_.head_dim; ++d) {
        float* channel = keys + d * layout_.block_size;
        float most = 0;
        for (int32_t t = 0; t < layout_.block_size; ++t) {
          most = std::fmax(most, std::fabs(channel[t]));
        }
        channel[extreme] = std::copysign(most, signs_[d]);
      }
    }
    SummarizeBlock(layout_, SummaryKind::kBounds, keys, block,
                   tiles_.data() + block / kTileBlocks * tile_size());
  }

  void FillQuery(int32_t i, KeyBank::Random& random) {
    float* query = queries_.data() + i * layout_.head_dim;
    KeyBank::Fill(static_cast<Family>(random() % kFamilies), random, query, layout_.head_dim);
    if (random() % 3 != 0) return;
    for (int32_t d = 0; d < layout_.head_dim; ++d) query[d] = std::copysign(query[d], signs_[d]);
  }

  const PageLayout layout_;
  std::vector<float> keys_, queries_, signs_;
  std::vector<Bf16> tiles_;
};

TEST(BoundPairs, NoScoreIsAboveItsBound) {
  const int64_t wanted = absl::GetFlag(FLAGS_pairs);
  int64_t pairs = 0;
  for (uint64_t seed = 1; pairs < wanted; ++seed) {
    for (const int32_t head_dim : {1, 5, 64, 128}) {
      ASSERT_EQ(Round(head_dim, seed).Violations(), 0) << "channels " << head_dim << ", " << seed;
      pairs += int64_t{kQueries} * kBlocks;
    }
  }
  std::printf("bound_pairs pairs=%lld violations=0\n", static_cast<long long>(pairs));
}

}  // namespace
}  // namespace eidetic::memory

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
