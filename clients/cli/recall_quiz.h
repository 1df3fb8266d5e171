// Asking a session that has read a text for the facts planted in it.
//
// Thread safety: thread-compatible. Ownership: borrows the session for the call.
// Preconditions: the session ends with the planted text, its user's turn open.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_
#define EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clients/cli/recall_facts.h"
#include "clients/cpp/session.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::cli {

// How a question attends to the session's past.
struct QuizRule {
  std::string name = "";  // "two_stage", "window"
  v1::AttentionPolicy policy = v1::ATTENTION_POLICY_UNSPECIFIED;
  v1::RetrievalRule rule = v1::RETRIEVAL_RULE_UNSPECIFIED;  // unspecified: the session's
};

struct QuizAnswer {
  Fact fact;
  std::string answer = "";  // normalized
  bool right = false;       // IsRight
  // The passage that the answer drew on: the one that tells the fact if there is such a
  // one, else the one of greatest mass, else none.
  std::optional<v1::Passage> passage = {};
  int64_t tokens_back = 0;  // from the end of the question to the passage's beginning
  // From the first token to the last, and how many came after the first.
  absl::Duration decoding = absl::ZeroDuration();
  int64_t decoded_tokens = 0;
  absl::Duration elapsed = absl::ZeroDuration();  // from the fork to the last token
};

// The answers to questions of one kind under one rule.
struct QuizSection {
  FactKind kind = FactKind::kNeedle;
  QuizRule rule = {};
  std::vector<QuizAnswer> answers = {};

  int RightAnswers() const;
  double DecodeTokensPerSecond() const;  // 0: no answer had two tokens
  double QuestionSeconds() const;        // of one question, on average
};

// Asks for those of `facts` that are of `kind`, one after the other, greedily, each in a
// fork that is deleted afterwards: no question sees another. Errors are the server's.
absl::StatusOr<QuizSection> AskFacts(const client::Session& session, const std::vector<Fact>& facts,
                                     FactKind kind, const QuizRule& rule);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_
