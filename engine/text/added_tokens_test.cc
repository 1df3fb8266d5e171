#include "engine/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>

namespace eidetic {
namespace {

using testing::ElementsAre;

// Segments as text, added tokens in brackets.
std::vector<std::string> Segments(const AddedTokenMatcher& matcher, std::string_view text,
                                  bool parse_special = true) {
  std::vector<std::string> out;
  const absl::Status status =
      matcher.ForEachSegment(text, parse_special, [&](const AddedTokenMatcher::Segment& segment) {
        const std::string shown(segment.text);
        out.push_back(segment.id ? "[" + shown + "]" : shown);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok());
  return out;
}

AddedToken Token(std::string spelling, bool special = false) {
  static memory::TokenId next_id = 0;
  return {std::move(spelling), next_id++, special, false};
}

TEST(AddedTokenMatcher, TakesTheLeftmostThenTheLongest) {
  const AddedTokenMatcher matcher({Token("ab"), Token("abcd"), Token("bcdef"), Token("c")});
  EXPECT_THAT(Segments(matcher, "abcdef"), ElementsAre("[abcd]", "ef"));
  EXPECT_THAT(Segments(matcher, "xabce"), ElementsAre("x", "[ab]", "[c]", "e"));
  EXPECT_THAT(Segments(matcher, "abc"), ElementsAre("[ab]", "[c]"));
  EXPECT_THAT(Segments(matcher, "bcde"), ElementsAre("b", "[c]", "de"));
  EXPECT_THAT(Segments(matcher, ""), ElementsAre());
}

TEST(AddedTokenMatcher, SpecialTokensAreTextUnlessParsed) {
  const AddedTokenMatcher matcher({Token("<|x|>", true), Token("|x"), Token("<t>")});
  EXPECT_THAT(Segments(matcher, "a<|x|>b<t>", true), ElementsAre("a", "[<|x|>]", "b", "[<t>]"));
  // The special spelling hides "|x" within it.
  EXPECT_THAT(Segments(matcher, "a<|x|>b<t>", false), ElementsAre("a<|x|>b", "[<t>]"));
  EXPECT_THAT(Segments(matcher, "<|x", false), ElementsAre("<", "[|x]"));
}

TEST(AddedTokenMatcher, StopsAtTheFirstError) {
  const AddedTokenMatcher matcher({Token("b")});
  int calls = 0;
  const absl::Status status = matcher.ForEachSegment("abab", true, [&](const auto&) {
    ++calls;
    return absl::AbortedError("enough");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(calls, 1);
}

TEST(AddedTokenMatcher, AgreesWithTryingEveryToken) {
  std::mt19937 rng(5);
  const auto word = [&](size_t most) {
    std::string out;
    for (size_t n = 1 + rng() % most; n > 0; --n) out += "abc"[rng() % 3];
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<AddedToken> tokens;
    for (int i = 0; i < 8; ++i) {
      const std::string spelling = word(5);
      const bool known = std::any_of(tokens.begin(), tokens.end(),
                                     [&](const AddedToken& t) { return t.spelling == spelling; });
      if (!known) tokens.push_back(Token(spelling));
    }
    const std::string text = word(40);
    std::vector<std::string> expected;
    std::string plain;
    for (size_t at = 0; at < text.size();) {
      size_t longest = 0;
      for (const AddedToken& token : tokens) {
        if (text.compare(at, token.spelling.size(), token.spelling) == 0) {
          longest = std::max(longest, token.spelling.size());
        }
      }
      if (longest == 0) {
        plain += text[at++];
        continue;
      }
      if (!plain.empty()) expected.push_back(std::exchange(plain, ""));
      expected.push_back("[" + text.substr(at, longest) + "]");
      at += longest;
    }
    if (!plain.empty()) expected.push_back(plain);
    ASSERT_EQ(Segments(AddedTokenMatcher(tokens), text), expected) << text;
  }
}

}  // namespace
}  // namespace eidetic
