#include "clients/cli/recall_facts.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"

namespace eidetic::cli {
namespace {

using ::testing::StartsWith;

TEST(DrawNeedles, NoTwoShareAWordOrANumber) {
  Random random(5);
  const auto facts = DrawNeedles("", kMaxNeedles, &random);
  ASSERT_TRUE(facts.ok()) << facts.status();
  std::set<std::string> words, numbers;
  for (const Fact& fact : *facts) {
    words.insert(fact.key.substr(0, fact.key.find('-')));
    words.insert(fact.key.substr(fact.key.find('-') + 1));
    numbers.insert(fact.value);
    EXPECT_EQ(fact.value.size(), 7u);
  }
  EXPECT_EQ(words.size(), 2u * kMaxNeedles);
  EXPECT_EQ(numbers.size(), size_t{kMaxNeedles});
}

TEST(DrawNeedles, RefusesATextThatTellsOfThemAll) {
  Random random(5);
  const auto facts = DrawNeedles("", kMaxNeedles, &random);
  ASSERT_TRUE(facts.ok()) << facts.status();
  std::string all;
  for (const Fact& one : *facts) {
    for (const Fact& other : *facts) {
      absl::StrAppend(&all, one.key.substr(0, one.key.find('-')),
                      other.key.substr(other.key.find('-')), "\n\n");
    }
  }
  EXPECT_TRUE(absl::IsInvalidArgument(DrawNeedles(all, 1, &random).status()));
}

TEST(DrawFacts, RefusesCountsOutOfRange) {
  Random random(1);
  EXPECT_TRUE(absl::IsInvalidArgument(DrawNeedles("", -1, &random).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DrawNeedles("", kMaxNeedles + 1, &random).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DrawChatFacts(-1, &random).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DrawChatFacts(kMaxChatFacts + 1, &random).status()));
  EXPECT_EQ(DrawNeedles("", 0, &random)->size(), 0u);
}

TEST(DrawChatFacts, NoTwoShareAValueOrAQuestion) {
  Random random(3);
  const auto facts = DrawChatFacts(kMaxChatFacts, &random);
  ASSERT_TRUE(facts.ok()) << facts.status();
  std::set<std::string> values, questions;
  for (const Fact& fact : *facts) {
    values.insert(fact.value);
    questions.insert(fact.question);
  }
  EXPECT_EQ(values.size(), size_t{kMaxChatFacts});
  EXPECT_EQ(questions.size(), size_t{kMaxChatFacts});
}

TEST(DrawChatFacts, WhatIsToldAsMineIsRightAsYours) {
  Random random(4);
  const auto facts = DrawChatFacts(kMaxChatFacts, &random);
  ASSERT_TRUE(facts.ok()) << facts.status();
  for (const Fact& fact : *facts) {
    ASSERT_THAT(fact.statement, StartsWith(absl::StrCat("My ", fact.key)));
    const std::string answer = absl::StrCat("Your", fact.statement.substr(2));
    for (const Fact& asked : *facts) {
      EXPECT_EQ(IsRight(NormalizedAnswer(answer), asked), asked.value == fact.value) << answer;
    }
  }
}

TEST(IsRight, AsksForTheNumberAloneButForANameInAnySentence) {
  const Fact needle = NeedleFact("amber-falcon", "4821937");
  EXPECT_TRUE(IsRight("4821937", needle));
  EXPECT_FALSE(IsRight("48219370", needle));
  EXPECT_FALSE(IsRight("is: 4821937", needle));
  const Fact name = NameFact("sister", "Clara");
  EXPECT_TRUE(IsRight("Your sister is called Clara", name));
  EXPECT_FALSE(IsRight("Your sister's name is AClara", name));
  EXPECT_FALSE(IsRight("Your sister's name is Clara or Nora", name));
  EXPECT_FALSE(IsRight("", name));
}

TEST(Phrasing, OfNeedlesIsThatOfTheModelsTraining) {
  const Fact fact = NeedleFact("amber-falcon", "4821937");
  EXPECT_EQ(absl::StrCat(std::string(RecallOpening(true)), Telling(fact), QuestionPrompt(fact)),
            "<|user|>\nSome special facts are hidden within the following text. Make sure to "
            "memorize them.\n\nOne of the special magic numbers for amber-falcon is: 4821937.\n\n"
            "What is the special magic number for amber-falcon mentioned in the provided text?"
            "<|assistant|>\nThe special magic number for amber-falcon mentioned in the provided "
            "text is:");
}

TEST(Phrasing, OfChatFactsClosesAndOpensTurns) {
  const Fact fact = NameFact("sister", "Clara");
  EXPECT_EQ(absl::StrCat(std::string(RecallOpening(false)), "One.\n\n", Telling(fact), "Two.\n\n",
                         QuestionPrompt(fact)),
            "<|user|>\nHere is a passage from a book:\nOne.\n\n"
            "<|assistant|>\nThank you, I have read the text.<|endoftext|>"
            "<|user|>\nMy sister's name is Clara.<|assistant|>\nI will remember that.<|endoftext|>"
            "<|user|>\nHere is a passage from a book:\nTwo.\n\n"
            "<|assistant|>\nThank you, I have read the text.<|endoftext|>"
            "<|user|>\nWhat is my sister's name?<|assistant|>\n");
  EXPECT_EQ(HomeFact("dog", "Lima").question, "Where does my dog live?");
  EXPECT_EQ(HomeFact("dog", "Lima").statement, "My dog lives in Lima.");
}

TEST(NormalizedAnswer, DropsSpaceAndOneFullStop) {
  EXPECT_EQ(NormalizedAnswer(" 4821937."), "4821937");
  EXPECT_EQ(NormalizedAnswer("4821937.\n"), "4821937");
  EXPECT_EQ(NormalizedAnswer("48 21.."), "48 21.");
  EXPECT_EQ(NormalizedAnswer(" \n"), "");
}

}  // namespace
}  // namespace eidetic::cli
