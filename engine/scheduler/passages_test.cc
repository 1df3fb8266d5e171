#include "engine/scheduler/passages.h"

#include <gtest/gtest.h>

#include "engine/scheduler/fake_tokenizer.h"

namespace eidetic {
namespace {

std::vector<memory::TokenId> Log(std::string_view text) { return {text.begin(), text.end()}; }

TEST(SpanMassTest, IsTheMeanOverRows) {
  SpanMass mass;
  const SpanUse first[] = {{.block = 3, .mass = 0.5}};
  const SpanUse second[] = {{.block = 1, .mass = 0.2}, {.block = 3, .mass = 0.1}};
  mass.Add(first, 1);
  mass.Add(second, 3);
  mass.Add({}, 1);  // a token that retrieved nothing counts all the same
  const std::vector<SpanUse> mean = mass.Mean();
  ASSERT_EQ(mean.size(), 2u);
  EXPECT_EQ(mean[0].block, 1);
  EXPECT_DOUBLE_EQ(mean[0].mass, 0.6 / 5);
  EXPECT_EQ(mean[1].block, 3);
  EXPECT_DOUBLE_EQ(mean[1].mass, 0.8 / 5);
}

TEST(SpanMassTest, OfNothingIsEmpty) { EXPECT_TRUE(SpanMass().Mean().empty()); }

TEST(PassagesTest, WorkedExample) {
  const SpanUse blocks[] = {
      {.block = 2, .mass = 0.1}, {.block = 3, .mass = 0.2}, {.block = 7, .mass = 0.25}};
  const auto log = Log("aaaabbbbccccddddeeeeffffgggghhhh");
  const auto passages = MakePassages(blocks, 4, log, FakeTokenizer(), kMaxAnswerPassages);
  ASSERT_EQ(passages.size(), 2u);
  EXPECT_EQ(passages[0].begin, 8);
  EXPECT_EQ(passages[0].end, 16);
  EXPECT_DOUBLE_EQ(passages[0].mass, 0.3);
  EXPECT_EQ(passages[0].text, "ccccdddd");
  EXPECT_EQ(passages[1].begin, 28);
  EXPECT_EQ(passages[1].text, "hhhh");
}

TEST(PassagesTest, KeepsThoseOfMostMass) {
  std::vector<SpanUse> blocks;
  for (int32_t b = 0; b < 20; b += 2) blocks.push_back({.block = b, .mass = 0.01 * b});
  const auto log = std::vector<memory::TokenId>(20 * 4, 'x');
  const auto passages = MakePassages(blocks, 4, log, FakeTokenizer(), 3);
  ASSERT_EQ(passages.size(), 3u);
  EXPECT_EQ(passages[0].begin, 18 * 4);
  EXPECT_EQ(passages[2].begin, 14 * 4);
}

TEST(PassagesTest, ALongRunIsCut) {
  std::vector<SpanUse> blocks;
  for (int32_t b = 0; b < kMaxPassageBlocks + 1; ++b) blocks.push_back({.block = b, .mass = 0.01});
  const auto log = std::vector<memory::TokenId>((kMaxPassageBlocks + 1) * 4, 'x');
  const auto passages = MakePassages(blocks, 4, log, FakeTokenizer(), 8);
  ASSERT_EQ(passages.size(), 2u);
  EXPECT_EQ(passages[0].end, kMaxPassageBlocks * 4);
  EXPECT_EQ(passages[1].begin, kMaxPassageBlocks * 4);
}

TEST(PassagesTest, APartialBlockAndPaddingIdsAreHarmless) {
  const SpanUse blocks[] = {{.block = 1, .mass = 0.5}};
  const memory::TokenId log[] = {'a', 'a', 'a', 'a', 'b', FakeTokenizer::kVocabSize + 9};
  const auto passages = MakePassages(blocks, 4, log, FakeTokenizer(), 8);
  ASSERT_EQ(passages.size(), 1u);
  EXPECT_EQ(passages[0].end, 6);
  EXPECT_EQ(passages[0].text, "b");
}

TEST(RankBlocksTest, ByFallingMassThenByBlock) {
  const auto ranked =
      RankBlocks({{.block = 1, .mass = 0.1}, {.block = 4, .mass = 0.3}, {.block = 2, .mass = 0.3}});
  EXPECT_EQ(ranked[0].block, 2);
  EXPECT_EQ(ranked[1].block, 4);
  EXPECT_EQ(ranked[2].block, 1);
}

}  // namespace
}  // namespace eidetic
