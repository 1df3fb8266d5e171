#include "engine/text/incremental_detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "engine/text/tiny_tokenizer.h"

namespace eidetic {
namespace {

TEST(IncrementalDetokenizer, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = TinyTokenizer();
  IncrementalDetokenizer detokenizer(tokenizer.get());
  EXPECT_EQ(detokenizer.Push(260), " hello");
  EXPECT_EQ(detokenizer.Push(0xF0), "");
  EXPECT_EQ(detokenizer.Push(0x9F), "");
  EXPECT_EQ(detokenizer.Push(0x98), "");
  EXPECT_EQ(detokenizer.Push(0x80), "😀");
  EXPECT_EQ(detokenizer.Flush(), "");
}

TEST(IncrementalDetokenizer, ReplacesWhatCanNotBecomeText) {
  const auto tokenizer = TinyTokenizer();
  IncrementalDetokenizer detokenizer(tokenizer.get());
  EXPECT_EQ(detokenizer.Push(0xFF), "\uFFFD") << "at once";
  EXPECT_EQ(detokenizer.Push(0xE6), "");
  EXPECT_EQ(detokenizer.Push('a'), "\uFFFDa");
  EXPECT_EQ(detokenizer.Push(0xE6), "");
  EXPECT_EQ(detokenizer.Push(0x97), "");
  EXPECT_EQ(detokenizer.Flush(), "\uFFFD");
  EXPECT_EQ(detokenizer.Flush(), "");
}

TEST(IncrementalDetokenizer, SpecialTokensYieldNothing) {
  const auto tokenizer = TinyTokenizer();
  IncrementalDetokenizer detokenizer(tokenizer.get());
  EXPECT_EQ(detokenizer.Push(0xC3), "");
  EXPECT_EQ(detokenizer.Push(261), "");
  EXPECT_EQ(detokenizer.Push(0xA9), "é");
  EXPECT_EQ(detokenizer.Push(265), "<tool>") << "added, but not special";
}

TEST(IncrementalDetokenizer, GivesWhatDecodeGives) {
  const auto tokenizer = TinyTokenizer();
  std::mt19937 rng(1);
  for (int round = 0; round < 500; ++round) {
    IncrementalDetokenizer detokenizer(tokenizer.get());
    std::vector<TokenId> ids;
    std::string text;
    for (int i = 0; i < 40; ++i) {
      ids.push_back(static_cast<TokenId>(0x80 + rng() % (266 - 0x80)));
      text += detokenizer.Push(ids.back());
    }
    ASSERT_EQ(text + detokenizer.Flush(), tokenizer->Decode(ids, true));
  }
}

}  // namespace
}  // namespace eidetic
