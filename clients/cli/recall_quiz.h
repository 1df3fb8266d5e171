// Asking a session that has read a text for the facts planted in it.
//
// Thread safety: thread-compatible. Ownership: borrows the session for the call.
// Preconditions: the session ends with the planted text, its user's turn open.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_
#define EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/recall_facts.h"
#include "clients/cpp/session.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::cli {

struct QuizAnswer {
  Fact fact;
  v1::AttentionPolicy policy = v1::ATTENTION_POLICY_UNSPECIFIED;
  std::string answer = "";  // normalized
  bool right = false;       // equals the fact's number
  // The passage that the answer drew on: the one that tells the fact if there is such a
  // one, else the one of greatest mass, else none.
  std::optional<v1::Passage> passage = {};
  int64_t tokens_back = 0;  // from the end of the question to the passage's beginning
};

// Asks for one fact, greedily, in a fork under `policy` that is deleted afterwards: no
// question sees another.
absl::StatusOr<QuizAnswer> AskFact(const client::Session& session, const Fact& fact,
                                   v1::AttentionPolicy policy);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_QUIZ_H_
