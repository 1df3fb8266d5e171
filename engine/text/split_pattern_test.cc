#include "engine/text/split_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace eidetic {
namespace {

using testing::ElementsAre;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> Pieces(std::string_view pattern, std::string_view text) {
  const auto split = SplitPattern::Compile(pattern);
  EXPECT_TRUE(split.ok()) << split.status();
  std::vector<std::string> pieces;
  const absl::Status status =
      split->Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  EXPECT_TRUE(status.ok()) << status;
  return pieces;
}

std::string Repeat(std::string_view unit, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += unit;
  return out;
}

TEST(SplitPattern, CutsEnglishAsTheFamiliesDo) {
  EXPECT_THAT(Pieces(kGpt2, "It's 2024,  ok?\n"),
              ElementsAre("It", "'s", " 2024", ",", " ", " ok", "?", "\n"));
  EXPECT_THAT(Pieces(kLlama3, "IT'S 2024,  ok?\n\n x"),
              ElementsAre("IT", "'S", " ", "202", "4", ",", " ", " ok", "?\n\n", " x"));
  EXPECT_THAT(Pieces(kGpt2, ""), ElementsAre());
}

// U+180E and U+200B are no spaces in Unicode; PCRE2's own \s takes U+180E.
TEST(SplitPattern, SpacesAreUnicodesWhiteSpace) {
  for (const char* space : {"\t", "\v", "\u0085", "\u00A0", "\u1680", "\u2000", "\u200A", "\u2028",
                            "\u2029", "\u202F", "\u205F", "\u3000"}) {
    EXPECT_EQ(Pieces(R"(\S+)", std::string("a") + space + "b").size(), 3u) << space;
  }
  for (const char* other : {"\u180E", "\u200B", "\u2060", "\uFEFF", "\x1C"}) {
    EXPECT_EQ(Pieces(R"(\S+)", std::string("a") + other + "b").size(), 1u) << other;
  }
}

TEST(SplitPattern, KnowsTheLettersOfUnicode16) {
  EXPECT_THAT(Pieces(R"(\p{L}+|\p{N}+)", "a\U00031350\U00016D40 1\U0001CCF9"),
              ElementsAre("a\U00031350\U00016D40", " ", "1\U0001CCF9"));
  EXPECT_THAT(Pieces(R"([^\p{L}]+)", "\U00031350-"), ElementsAre("\U00031350", "-"));
}

TEST(SplitPattern, TextThatNothingMatchesIsAPieceOfItsOwn) {
  EXPECT_THAT(Pieces("b+", "aabbcc"), ElementsAre("aa", "bb", "cc"));
  EXPECT_THAT(Pieces("b+", Repeat("é", 5000) + "b"), ElementsAre(Repeat("é", 5000), "b"));
}

// Each of these is longer than what a match sees at first.
TEST(SplitPattern, LongPiecesStayWhole) {
  for (const size_t n : {255, 256, 257, 1023, 1024, 1025, 70'000, 1 << 20}) {
    EXPECT_THAT(Pieces(kGpt2, Repeat("a", n)), ElementsAre(Repeat("a", n)));
    EXPECT_THAT(Pieces(kLlama3, Repeat(" ", n) + "x"), ElementsAre(Repeat(" ", n - 1), " x"));
    EXPECT_THAT(Pieces(kLlama3, "\n" + Repeat(" ", n) + "x"),
                ElementsAre("\n", Repeat(" ", n - 1), " x"));
    EXPECT_THAT(Pieces(kLlama3, Repeat("-", n) + "\n"), ElementsAre(Repeat("-", n) + "\n"));
    EXPECT_THAT(Pieces(kGpt2, Repeat("日", n) + "'s"), ElementsAre(Repeat("日", n), "'s"));
  }
}

TEST(SplitPattern, RefusesWhatOnigurumaReadsOtherwise) {
  for (const char* pattern :
       {R"(\w+)", R"(\d)",  R"(\h)",   R"(\p{Lu})", R"(\P{L})", R"(\1(a))",   "^a",     "a$",
        "a.b",    "(?m:a)", "(?<=a)b", "(?i:ss)",   "(?<n>a)",  "(*ACCEPT)a", "[a[b]]", "[a&&b]",
        "[]a]",   "[^]a]",  "a{,2}",   "a{1,2}+",   "a{2}?",    "a{x}",       "a{",     "\\"}) {
    const auto split = SplitPattern::Compile(pattern);
    EXPECT_EQ(split.status().code(), absl::StatusCode::kInvalidArgument) << pattern;
    EXPECT_THAT(split.status().message(), testing::HasSubstr("not supported")) << pattern;
  }
}

TEST(SplitPattern, RefusesBrokenPatterns) {
  for (const std::string& pattern :
       {std::string("(a"), std::string("[a"), std::string("a**"), std::string("a*"),
        std::string(""), std::string("(?!a)"), std::string("a{70000}"),
        Repeat("(", 300) + Repeat(")", 300), Repeat("a", 5000),
        Repeat("(?:", 6) + "a" + Repeat("{999})", 6)}) {
    EXPECT_EQ(SplitPattern::Compile(pattern).status().code(), absl::StatusCode::kInvalidArgument)
        << pattern.substr(0, 20);
  }
}

// A pattern that backtracks exponentially, and two that scan the rest of the
// text at every place: an error, not an hour.
TEST(SplitPattern, HostilePatternsEndWithAnError) {
  for (const char* pattern : {"(?:a+)+b|a", "a*b|a", R"((?=[\s\S]*y)a|a)"}) {
    const auto split = SplitPattern::Compile(pattern);
    ASSERT_TRUE(split.ok()) << split.status();
    const absl::Status status = split->Split(Repeat("a", 1 << 18), [](std::string_view) {});
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << pattern;
  }
}

}  // namespace
}  // namespace eidetic
