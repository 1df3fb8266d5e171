#include "engine/text/bpe_merges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>

namespace eidetic {
namespace {

using testing::ElementsAre;

std::vector<TokenId> Apply(const BpeMerges& merges, const std::vector<TokenId>& symbols) {
  BpeMerges::Word word;
  for (const TokenId id : symbols) word.Append(id);
  std::vector<TokenId> out;
  merges.Apply(&word, &out);
  return out;
}

// What the rules mean: join the leftmost pair of the first rule that fits.
std::vector<TokenId> Naive(const std::vector<MergeRule>& rules, std::vector<TokenId> ids) {
  for (bool joined = true; joined;) {
    joined = false;
    for (size_t r = 0; r < rules.size() && !joined; ++r) {
      for (size_t i = 0; i + 1 < ids.size() && !joined; ++i) {
        if (ids[i] != rules[r].left || ids[i + 1] != rules[r].right) continue;
        ids[i] = rules[r].result;
        ids.erase(ids.begin() + static_cast<int64_t>(i) + 1);
        joined = true;
      }
    }
  }
  return ids;
}

TEST(BpeMerges, AppliesTheFirstRuleFirstAndTheLeftmostPlaceFirst) {
  // a=0 b=1 c=2; "bc" before "ab": abc is a + bc.
  EXPECT_THAT(Apply(BpeMerges({{1, 2, 3}, {0, 1, 4}}), {0, 1, 2}), ElementsAre(0, 3));
  EXPECT_THAT(Apply(BpeMerges({{0, 0, 3}}), {0, 0, 0}), ElementsAre(3, 0));
  EXPECT_THAT(Apply(BpeMerges({{0, 0, 3}}), {}), ElementsAre());
  EXPECT_THAT(Apply(BpeMerges({{0, 0, 3}}), {0}), ElementsAre(0));
}

TEST(BpeMerges, OfTwoRulesForOnePairTheLaterCounts) {
  EXPECT_THAT(Apply(BpeMerges({{0, 1, 5}, {1, 2, 6}, {0, 1, 5}}), {0, 1, 2}), ElementsAre(0, 6));
}

TEST(BpeMerges, AgreesWithTheNaiveMergeOnRandomRules) {
  std::mt19937 rng(7);
  for (int round = 0; round < 200; ++round) {
    // Spellings keep ids and texts one to one, as in a vocabulary.
    std::vector<std::string> spelling = {"a", "b", "c"};
    std::map<std::string, TokenId> id = {{"a", 0}, {"b", 1}, {"c", 2}};
    std::map<std::pair<TokenId, TokenId>, bool> seen;
    std::vector<MergeRule> rules;
    for (int i = 0; i < 25; ++i) {
      const auto left = static_cast<TokenId>(rng() % spelling.size());
      const auto right = static_cast<TokenId>(rng() % spelling.size());
      if (std::exchange(seen[{left, right}], true)) continue;
      const std::string both = spelling[left] + spelling[right];
      const auto [at, added] = id.emplace(both, static_cast<TokenId>(spelling.size()));
      if (added) spelling.push_back(both);
      rules.push_back({left, right, at->second});
    }
    std::vector<TokenId> word;
    for (int i = 0; i < 60; ++i) word.push_back(static_cast<TokenId>(rng() % 3));
    ASSERT_EQ(Apply(BpeMerges(rules), word), Naive(rules, word));
  }
}

TEST(BpeMerges, AWordOfAMillionSymbolsIsNoTrouble) {
  std::vector<MergeRule> rules;
  for (TokenId i = 0; i < 10; ++i) rules.push_back({i, i, i + 1});
  const std::vector<TokenId> ids = Apply(BpeMerges(rules), std::vector<TokenId>(1 << 20, 0));
  EXPECT_EQ(ids, std::vector<TokenId>(1 << 10, 10));
}

}  // namespace
}  // namespace eidetic
