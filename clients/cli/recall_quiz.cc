#include "clients/cli/recall_quiz.h"

#include "clients/cli/answer.h"

namespace eidetic::cli {
namespace {

// A number of seven digits, a token each, with room for a wordy answer to show itself.
constexpr int kMaxAnswerTokens = 24;

std::optional<v1::Passage> ChoosePassage(const v1::GenerateFinish& finish, const Fact& fact) {
  for (const std::string& piece : {fact.number, fact.key}) {
    for (const v1::Passage& passage : finish.passages()) {
      if (passage.text().find(piece) != std::string::npos) return passage;
    }
  }
  if (finish.passages().empty()) return std::nullopt;
  return finish.passages(0);
}

}  // namespace

absl::StatusOr<QuizAnswer> AskFact(const client::Session& session, const Fact& fact,
                                   v1::AttentionPolicy policy) {
  client::ForkOptions options{.temporary = true};
  options.attention.set_policy(policy);
  options.attention.set_retrieve_in_prefill(true);
  const auto fork = session.Fork(options);
  if (!fork.ok()) return fork.status();

  v1::GenerateRequest request;
  request.mutable_prompt()->set_text(QuestionPrompt(fact));
  request.mutable_prompt()->set_parse_special(true);
  request.mutable_sampling()->set_temperature(0);
  request.set_max_tokens(kMaxAnswerTokens);
  client::TokenStream stream = fork->Generate(request);
  const auto answer = ReadAnswer(stream, nullptr);
  if (!answer.ok()) return answer.status();

  QuizAnswer result{.fact = fact, .policy = policy};
  result.answer = NormalizedAnswer(answer->text);
  result.right = result.answer == fact.number;
  result.passage = ChoosePassage(answer->finish, fact);
  if (result.passage) {
    result.tokens_back = answer->start.position() - result.passage->begin_position();
  }
  return result;
}

}  // namespace eidetic::cli
