#include "clients/cli/recall_haystack.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace eidetic::cli {
namespace {

std::string Book(int paragraphs) {
  std::string book;
  for (int i = 0; i < paragraphs; ++i) {
    absl::StrAppend(&book, "Paragraph ", i, " says little.\n\n");
  }
  return book;
}

size_t Count(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) {
    ++count;
  }
  return count;
}

// All pieces after the opening.
std::string Whole(Haystack haystack) {
  std::string whole;
  while (const auto piece = haystack.Next()) whole += piece->text;
  EXPECT_EQ(whole.size(), haystack.bytes());
  const bool has_needles = haystack.facts()[0].kind == FactKind::kNeedle;
  return whole.substr(RecallOpening(has_needles).size());
}

std::string Needles(const std::string& book, int count, uint64_t seed) {
  auto haystack = Haystack::Make(book, {.needles = count, .seed = seed});
  EXPECT_TRUE(haystack.ok()) << haystack.status();
  return Whole(*std::move(haystack));
}

TEST(Haystack, TellsEachNeedleOnceBetweenParagraphs) {
  const auto haystack = Haystack::Make(Book(200), {.needles = 10});
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  ASSERT_EQ(haystack->facts().size(), 10u);
  const std::string whole = Whole(*haystack);
  for (const Fact& fact : haystack->facts()) {
    EXPECT_EQ(Count(whole, fact.key), 1u);
    EXPECT_EQ(Count(whole, fact.value), 1u);
    EXPECT_EQ(Count(whole, absl::StrCat("\n\n", fact.statement, "\n\n")), 1u);
  }
}

TEST(Haystack, ChangesNothingElse) {
  const std::string book = Book(60);
  auto haystack = Haystack::Make(book, {.needles = 7, .chat_facts = 5, .seed = 3});
  ASSERT_TRUE(haystack.ok());
  const auto facts = haystack->facts();
  std::string rest = Whole(*std::move(haystack));
  for (const Fact& fact : facts) {
    const size_t told = rest.find(Telling(fact));
    ASSERT_NE(told, std::string::npos);
    rest.erase(told, Telling(fact).size());
  }
  EXPECT_EQ(rest, book);
}

TEST(Haystack, DependsOnTheSeedAlone) {
  const std::string book = Book(100);
  EXPECT_EQ(Needles(book, 5, 1), Needles(book, 5, 1));
  EXPECT_NE(Needles(book, 5, 1), Needles(book, 5, 2));
}

TEST(Haystack, RepeatsTheTextButNotTheFacts) {
  const std::string book = Book(50);
  const uint64_t bytes = book.size() * 7 / 2;
  const auto haystack =
      Haystack::Make(book, {.needles = 8, .chat_facts = 4, .seed = 1, .bytes = bytes});
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  EXPECT_LE(haystack->bytes(), bytes);
  EXPECT_GT(haystack->bytes(), bytes - 40);  // a paragraph at most is missing
  const std::string whole = Whole(*haystack);
  EXPECT_EQ(Count(whole, "Paragraph 0 says little.\n\n"), 3u);
  EXPECT_EQ(Count(whole, "Paragraph 49 says little.\n\n"), 2u);
  for (const Fact& fact : haystack->facts()) EXPECT_EQ(Count(whole, fact.statement), 1u);
  EXPECT_TRUE(whole.ends_with(" says little.\n\n"));
}

TEST(Haystack, CutsALongTextShort) {
  const std::string whole = [] {
    auto haystack = Haystack::Make(Book(500), {.needles = 2, .bytes = 1000});
    EXPECT_TRUE(haystack.ok()) << haystack.status();
    return Whole(*std::move(haystack));
  }();
  EXPECT_LT(whole.size(), 1000u);
  EXPECT_GT(whole.size(), 800u);
}

TEST(Haystack, SpreadsBothKindsOverAllRepetitions) {
  const auto haystack = Haystack::Make(
      Book(40), {.needles = 4, .chat_facts = 4, .seed = 9, .bytes = Book(40).size() * 100});
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  const std::string whole = Whole(*haystack);
  for (size_t i = 0; i < 8; ++i) {
    const double at = whole.find(haystack->facts()[i].statement);
    EXPECT_NEAR(at / whole.size(), i % 4 / 4.0 + 0.125, 0.135) << i;
  }
}

TEST(Haystack, OnlyTurnsBordersHaveSpecialTokens) {
  auto haystack = Haystack::Make("One.\n\n<|user|>\n\nThree.", {.needles = 1, .chat_facts = 2});
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  std::string special, plain;
  while (const auto piece = haystack->Next()) {
    (piece->parse_special ? special : plain) += piece->text;
  }
  EXPECT_EQ(Count(plain, "<|"), 1u);
  EXPECT_EQ(Count(plain, "special magic numbers"), 1u);
  EXPECT_EQ(Count(special, "Three."), 0u);
  EXPECT_EQ(Count(special, "I will remember that."), 2u);
}

TEST(Haystack, ComesInPiecesOfBoundedSize) {
  const std::string book = Book(100'000);
  ASSERT_LT(book.size(), kPieceBytes);
  auto haystack = Haystack::Make(book, {.needles = 3, .bytes = 4 * kPieceBytes});
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  uint64_t bytes = 0;
  while (const auto piece = haystack->Next()) {
    ASSERT_FALSE(piece->text.empty());
    EXPECT_LE(piece->text.size(), 2 * kPieceBytes);
    bytes += piece->text.size();
  }
  EXPECT_EQ(bytes, haystack->bytes());
}

TEST(Haystack, TakesExactlyAsManyAsThereAreBorders) {
  const auto make = [](const std::string& text, const HaystackPlan& plan) {
    return Haystack::Make(text, plan).status();
  };
  EXPECT_TRUE(make("a\n\nb\n\nc", {.needles = 2}).ok());
  EXPECT_TRUE(make("a\n\nb\n\nc", {.needles = 2, .chat_facts = 2}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(make("a\n\nb\n\nc", {.needles = 3})));
  EXPECT_TRUE(absl::IsInvalidArgument(make("a\n\nb\n\nc", {.needles = 0, .chat_facts = 3})));
  EXPECT_TRUE(absl::IsInvalidArgument(make("one paragraph", {.needles = 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(make("\n\nleading\n\n", {.needles = 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(make("", {.needles = 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(make("", {.needles = 1, .bytes = 1000})));
  EXPECT_TRUE(absl::IsInvalidArgument(make(Book(500), {.needles = 0})));
  EXPECT_TRUE(absl::IsInvalidArgument(make(Book(500), {.needles = 2, .bytes = 10})));
}

TEST(Haystack, EndsWithABlankLineForTheQuestionToFollow) {
  EXPECT_TRUE(Needles("a\n\nb", 1, 1).ends_with("b\n\n"));
  EXPECT_TRUE(Needles("a\n\nb\n", 1, 1).ends_with("b\n\n"));
}

}  // namespace
}  // namespace eidetic::cli
