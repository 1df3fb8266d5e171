#include "engine/scheduler/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/scheduler/fake_tokenizer.h"

namespace eidetic {
namespace {

struct Answer {
  std::string streamed;  // text of the token events
  int32_t events = 0;
  std::optional<GenerationFinish> finish;
};

// Feeds bytes as tokens from position 100 on, until the generation ends.
Answer Feed(Generation& generation, std::span<const TokenId> tokens) {
  Answer answer;
  for (TokenId token : tokens) {
    Generation::Taken taken = generation.Take({.token = token, .top = {}}, 100 + answer.events);
    EXPECT_EQ(taken.event.sequence_number, ++answer.events);
    EXPECT_EQ(taken.event.token.token, token);
    answer.streamed += taken.event.text;
    answer.finish = std::move(taken.finish);
    if (answer.finish) break;
  }
  return answer;
}

Answer Feed(const GenerationSettings& settings, std::string_view text) {
  const FakeTokenizer tokenizer;
  Generation generation(&tokenizer, settings, {});
  return Feed(generation, *tokenizer.Encode(text, false));
}

TEST(GenerationTest, EndsAtMaxTokens) {
  const Answer answer = Feed({.max_tokens = 3}, "abcdef");
  EXPECT_EQ(answer.streamed, "abc");
  ASSERT_TRUE(answer.finish);
  EXPECT_EQ(answer.finish->reason, FinishReason::kMaxTokens);
  EXPECT_EQ(answer.finish->generated_tokens, 3);
  EXPECT_EQ(answer.finish->position, 103);
  EXPECT_EQ(answer.finish->text, "");
}

TEST(GenerationTest, AStopStringAcrossTokensIsNotSent) {
  const Answer answer = Feed({.max_tokens = 99, .stop_strings = {"END"}}, "so it ENDs");
  EXPECT_EQ(answer.streamed, "so it ");
  ASSERT_TRUE(answer.finish);
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);
  EXPECT_EQ(answer.finish->stop_string, "END");
  EXPECT_EQ(answer.finish->text, "");
  EXPECT_EQ(answer.events, 9) << "the stop string's tokens are told, without text";
}

TEST(GenerationTest, TextHeldForAStopStringComesWithTheFinish) {
  const Answer answer = Feed({.max_tokens = 4, .stop_strings = {"END"}}, "aEN!");
  EXPECT_EQ(answer.streamed, "aEN!");
  const Answer held = Feed({.max_tokens = 3, .stop_strings = {"END"}}, "aEN!");
  EXPECT_EQ(held.streamed, "a");
  ASSERT_TRUE(held.finish);
  EXPECT_EQ(held.finish->text, "EN");
  EXPECT_EQ(held.finish->reason, FinishReason::kMaxTokens);
}

TEST(GenerationTest, AStopStringOnTheLastTokenWinsOverMaxTokens) {
  const Answer answer = Feed({.max_tokens = 3, .stop_strings = {"bc"}}, "abc");
  ASSERT_TRUE(answer.finish);
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);
}

TEST(GenerationTest, HalfACharacterIsHeldBack) {
  const Answer whole = Feed({.max_tokens = 3}, "\xE2\x82\xAC");
  EXPECT_EQ(whole.streamed, "\xE2\x82\xAC");
  const Answer half = Feed({.max_tokens = 2}, "\xE2\x82\xAC");
  EXPECT_EQ(half.streamed, "");
  ASSERT_TRUE(half.finish);
  EXPECT_EQ(half.finish->text, "\xEF\xBF\xBD");
}

TEST(GenerationTest, AStopTokenIsToldWithoutText) {
  const FakeTokenizer tokenizer;
  Generation generation(&tokenizer, {.max_tokens = 9, .stop_strings = {"by"}, .stop_tokens = {'.'}},
                        {});
  const TokenId tokens[] = {'b', '.', 'x'};
  const Answer answer = Feed(generation, tokens);
  EXPECT_EQ(answer.events, 2);
  EXPECT_EQ(answer.streamed, "");
  ASSERT_TRUE(answer.finish);
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopToken);
  EXPECT_EQ(answer.finish->stop_token, '.');
  EXPECT_EQ(answer.finish->text, "b") << "what the stop string held back";
}

TEST(GenerationTest, PaddingOfTheVocabularyHasNoText) {
  const FakeTokenizer tokenizer;
  Generation generation(&tokenizer, {.max_tokens = 2}, {});
  const TokenId tokens[] = {FakeTokenizer::kVocabSize + 5, 'a'};
  EXPECT_EQ(Feed(generation, tokens).streamed, "a");
}

TEST(GenerationTest, CountsPromptAndAnswerApart) {
  const FakeTokenizer tokenizer;
  const TokenId prompt[] = {'a', 'b', 'a'};
  Generation generation(&tokenizer, {.sampling = {.seed = 5}, .max_tokens = 9}, prompt);
  const TokenId tokens[] = {'a', 'c', 'c'};
  Feed(generation, tokens);
  const SampleRow row = generation.Row(106);
  EXPECT_EQ(row.position, 106);
  EXPECT_EQ(row.params->seed, 5u);
  std::vector<std::tuple<TokenId, int, int>> counts;
  for (const TokenCount& c : row.counts) counts.push_back({c.token, c.in_prompt, c.in_answer});
  EXPECT_THAT(counts, testing::UnorderedElementsAre(std::tuple('a', 2, 1), std::tuple('b', 1, 0),
                                                    std::tuple('c', 0, 2)));
}

}  // namespace
}  // namespace eidetic
