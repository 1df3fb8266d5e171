#include "clients/cli/recall_facts.h"

#include <gtest/gtest.h>

#include <set>
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

TEST(PlantFacts, TellsEachFactOnceBetweenParagraphs) {
  const auto planted = PlantFacts(Book(200), 10, 1);
  ASSERT_TRUE(planted.ok()) << planted.status();
  ASSERT_EQ(planted->facts.size(), 10u);
  std::set<std::string> words;
  for (const Fact& fact : planted->facts) {
    const size_t dash = fact.key.find('-');
    words.insert(fact.key.substr(0, dash));
    words.insert(fact.key.substr(dash + 1));
    EXPECT_EQ(fact.number.size(), 7u);
    EXPECT_EQ(Count(planted->text, fact.key), 1u);
    EXPECT_EQ(Count(planted->text, fact.number), 1u);
    const std::string statement = Statement(fact) + "\n\n";
    EXPECT_EQ(planted->text.substr(fact.offset, statement.size()), statement);
    EXPECT_EQ(planted->text.substr(fact.offset - 2, 2), "\n\n");
  }
  EXPECT_EQ(words.size(), 20u);
}

TEST(PlantFacts, FewFactsShareNoWord) {
  const auto planted = PlantFacts(Book(200), 24, 5);
  ASSERT_TRUE(planted.ok()) << planted.status();
  std::set<std::string> words;
  for (const Fact& fact : planted->facts) {
    words.insert(fact.key.substr(0, fact.key.find('-')));
    words.insert(fact.key.substr(fact.key.find('-') + 1));
  }
  EXPECT_EQ(words.size(), 48u);
}

TEST(PlantFacts, RefusesATextThatTellsOfThemAll) {
  // So many facts use every word.
  const auto planted = PlantFacts(Book(kMaxFacts + 1), kMaxFacts, 5);
  ASSERT_TRUE(planted.ok()) << planted.status();
  std::string all = Book(20);
  for (const Fact& one : planted->facts) {
    for (const Fact& other : planted->facts) {
      absl::StrAppend(&all, one.key.substr(0, one.key.find('-')),
                      other.key.substr(other.key.find('-')), "\n\n");
    }
  }
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts(all, 1, 1).status()));
}

TEST(PlantFacts, ChangesNothingElse) {
  const std::string book = Book(60);
  const auto planted = PlantFacts(book, 7, 3);
  ASSERT_TRUE(planted.ok());
  std::string rest = planted->text;
  for (auto fact = planted->facts.rbegin(); fact != planted->facts.rend(); ++fact) {
    rest.erase(fact->offset, Statement(*fact).size() + 2);
  }
  EXPECT_EQ(rest, book);
}

TEST(PlantFacts, DependsOnTheSeedAlone) {
  const std::string book = Book(100);
  EXPECT_EQ(PlantFacts(book, 5, 1)->text, PlantFacts(book, 5, 1)->text);
  EXPECT_NE(PlantFacts(book, 5, 1)->text, PlantFacts(book, 5, 2)->text);
}

TEST(PlantFacts, SpreadsOverTheWholeText) {
  const auto planted = PlantFacts(Book(400), 4, 9);
  ASSERT_TRUE(planted.ok());
  for (int i = 0; i < 4; ++i) {
    const double depth = static_cast<double>(planted->facts[i].offset) / planted->text.size();
    EXPECT_NEAR(depth, i / 4.0 + 0.125, 0.135) << i;
  }
}

TEST(PlantFacts, TakesExactlyAsManyAsThereAreBorders) {
  EXPECT_TRUE(PlantFacts("a\n\nb\n\nc", 2, 1).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts("a\n\nb\n\nc", 3, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts("one paragraph", 1, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts("\n\nleading\n\n", 1, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts("", 1, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts(Book(500), 0, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PlantFacts(Book(500), kMaxFacts + 1, 1).status()));
}

TEST(PlantFacts, EndsWithABlankLineForTheQuestionToFollow) {
  EXPECT_TRUE(PlantFacts("a\n\nb", 1, 1)->text.ends_with("b\n\n"));
  EXPECT_TRUE(PlantFacts("a\n\nb\n", 1, 1)->text.ends_with("b\n\n"));
}

TEST(Phrasing, IsThatOfTheModelsTraining) {
  const Fact fact{.key = "amber-falcon", .number = "4821937"};
  EXPECT_EQ(absl::StrCat(std::string(RecallPreamble()), "The house was very quiet that evening. ",
                         Statement(fact),
                         " Nobody came to the door, and the fire had gone out long before "
                         "midnight.\n\n",
                         QuestionPrompt(fact)),
            "<|user|>\nSome special facts are hidden within the following text. Make sure to "
            "memorize them.\n\nThe house was very quiet that evening. One of the special magic "
            "numbers for amber-falcon is: 4821937. Nobody came to the door, and the fire had gone "
            "out long before midnight.\n\nWhat is the special magic number for amber-falcon "
            "mentioned in the provided text?<|assistant|>\nThe special magic number for "
            "amber-falcon mentioned in the provided text is:");
}

TEST(NormalizedAnswer, DropsSpaceAndOneFullStop) {
  EXPECT_EQ(NormalizedAnswer(" 4821937."), "4821937");
  EXPECT_EQ(NormalizedAnswer("4821937.\n"), "4821937");
  EXPECT_EQ(NormalizedAnswer("48 21.."), "48 21.");
  EXPECT_EQ(NormalizedAnswer(" \n"), "");
}

}  // namespace
}  // namespace eidetic::cli
