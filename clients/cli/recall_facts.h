// The facts that `recall` hides in a text, and the words in which it tells and asks
// them: those that the demo model was trained on.
//
// Thread safety: pure functions. Ownership: values. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_
#define EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace eidetic::cli {

// A number that the text tells once.
struct Fact {
  std::string key = "";     // "amber-falcon"
  std::string number = "";  // seven digits
  size_t offset = 0;        // of the statement in the planted text
};

struct PlantedText {
  std::string text;  // ends with a blank line
  std::vector<Fact> facts;
};

inline constexpr int kMaxFacts = 32;

// Hides `count` facts between the paragraphs of `text`, each as a paragraph of its own:
// the text is divided into `count` equal stretches of paragraph borders, and each gets
// one fact at a border drawn from it. The same text, count and seed give the same
// result. No key or number occurs in the text before, and no two keys share a word.
// INVALID_ARGUMENT: `count` is not within 1 to kMaxFacts, the text has too few borders
// (blank lines between paragraphs), or it is full of such facts already.
absl::StatusOr<PlantedText> PlantFacts(std::string_view text, int count, uint64_t seed);

// What stands before the text: opens the user's turn. Special tokens are spelled out.
std::string_view RecallPreamble();
// "What is the special magic number for amber-falcon mentioned in the provided text?"
std::string Question(const Fact& fact);
// What stands after the text: the question, and the answer's beginning. Special tokens
// are spelled out.
std::string QuestionPrompt(const Fact& fact);
// What stands after the text when no question follows: closes the user's turn.
std::string_view RecallClosing();
std::string Statement(const Fact& fact);

// The answer without white space around it and the sentence's full stop.
std::string_view NormalizedAnswer(std::string_view answer);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_
