#include "clients/cli/recall_quiz.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "clients/cli/answer.h"

namespace eidetic::cli {
namespace {

// A number of seven digits, a token each, with room for a wordy answer to show itself.
constexpr int kMaxAnswerTokens = 24;

std::optional<v1::Passage> ChoosePassage(const v1::GenerateFinish& finish, const Fact& fact) {
  for (const std::string& piece : {fact.value, fact.key}) {
    for (const v1::Passage& passage : finish.passages()) {
      if (passage.text().find(piece) != std::string::npos) return passage;
    }
  }
  if (finish.passages().empty()) return std::nullopt;
  return finish.passages(0);
}

v1::GenerateRequest RequestFor(const Fact& fact) {
  v1::GenerateRequest request;
  request.mutable_prompt()->set_text(QuestionPrompt(fact));
  request.mutable_prompt()->set_parse_special(true);
  request.mutable_sampling()->set_temperature(0);
  request.set_max_tokens(kMaxAnswerTokens);
  return request;
}

absl::StatusOr<QuizAnswer> AskFact(const client::Session& session, const Fact& fact,
                                   const QuizRule& rule) {
  const absl::Time begin = absl::Now();
  client::ForkOptions options{.temporary = true};
  options.attention.set_policy(rule.policy);
  options.attention.set_rule(rule.rule);
  options.attention.set_retrieve_in_prefill(true);
  const auto fork = session.Fork(options);
  if (!fork.ok()) return fork.status();

  client::TokenStream stream = fork->Generate(RequestFor(fact));
  int64_t tokens = 0;
  absl::Time first, last;
  const auto answer = ReadAnswer(stream, [&](const client::TokenStream::Event& event) {
    if (!event.has_delta()) return;
    last = absl::Now();
    if (tokens++ == 0) first = last;
  });
  if (!answer.ok()) return answer.status();

  QuizAnswer result{.fact = fact, .elapsed = absl::Now() - begin};
  result.answer = NormalizedAnswer(answer->text);
  result.right = IsRight(result.answer, fact);
  result.decoding = last - first;
  result.decoded_tokens = std::max<int64_t>(tokens - 1, 0);
  result.passage = ChoosePassage(answer->finish, fact);
  if (result.passage) {
    result.tokens_back = answer->start.position() - result.passage->begin_position();
  }
  return result;
}

}  // namespace

int QuizSection::RightAnswers() const {
  return std::count_if(answers.begin(), answers.end(),
                       [](const QuizAnswer& answer) { return answer.right; });
}

double QuizSection::DecodeTokensPerSecond() const {
  absl::Duration decoding = absl::ZeroDuration();
  int64_t tokens = 0;
  for (const QuizAnswer& answer : answers) {
    decoding += answer.decoding;
    tokens += answer.decoded_tokens;
  }
  return decoding > absl::ZeroDuration() ? tokens / absl::ToDoubleSeconds(decoding) : 0;
}

double QuizSection::QuestionSeconds() const {
  absl::Duration elapsed = absl::ZeroDuration();
  for (const QuizAnswer& answer : answers) elapsed += answer.elapsed;
  return answers.empty() ? 0 : absl::ToDoubleSeconds(elapsed) / answers.size();
}

absl::StatusOr<QuizSection> AskFacts(const client::Session& session, const std::vector<Fact>& facts,
                                     FactKind kind, const QuizRule& rule) {
  QuizSection section{.kind = kind, .rule = rule};
  for (const Fact& fact : facts) {
    if (fact.kind != kind) continue;
    auto answer = AskFact(session, fact, rule);
    if (!answer.ok()) return answer.status();
    section.answers.push_back(*std::move(answer));
  }
  return section;
}

}  // namespace eidetic::cli
