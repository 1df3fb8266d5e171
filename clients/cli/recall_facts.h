// The facts that `recall` hides in a text, and the words in which it tells and asks
// them: those that the demo model was trained on.
//
// Thread safety: pure functions. Ownership: values. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_
#define EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace eidetic::cli {

enum class FactKind {
  kNeedle,  // a number of seven digits, told in a paragraph of its own
  kChat,    // a name or a city, told in a user's turn of its own
};

// Told once, asked for once. Sentences are without special tokens.
struct Fact {
  FactKind kind = FactKind::kNeedle;
  std::string key = "";        // "amber-falcon", "dentist"
  std::string value = "";      // "4821937", "Quito"
  std::string statement = "";  // "My dentist lives in Quito."
  std::string question = "";   // "Where does my dentist live?"
};

Fact NeedleFact(std::string_view key, std::string_view number);
Fact NameFact(std::string_view relation, std::string_view name);
Fact HomeFact(std::string_view relation, std::string_view city);

inline constexpr int kMaxNeedles = 64;
inline constexpr int kMaxChatFacts = 48;

using Random = std::mt19937_64;
// 0 to `limit` - 1.
inline size_t Below(Random* random, size_t limit) { return (*random)() % limit; }

// `count` needles of which no key or number occurs in `text`; no two keys share a word.
// INVALID_ARGUMENT: `count` is not within 0 to kMaxNeedles, or the text is full of such
// facts already.
absl::StatusOr<std::vector<Fact>> DrawNeedles(std::string_view text, int count, Random* random);

// `count` chat facts; no two have the same value, or the same key and sentence.
// INVALID_ARGUMENT: `count` is not within 0 to kMaxChatFacts.
absl::StatusOr<std::vector<Fact>> DrawChatFacts(int count, Random* random);

// The text is a user's turn, or several. What stands before it opens the first.
std::string_view RecallOpening(bool has_needles);
// How a fact stands between two paragraphs: a turn is open before and after.
std::string Telling(const Fact& fact);
// What stands after the text, whose turn is open: the question, and for a needle the
// answer's beginning.
std::string QuestionPrompt(const Fact& fact);
// What stands after the text when no question follows: closes the user's turn.
std::string_view RecallClosing();
// All four spell special tokens out, but for a needle's Telling, which has none.
inline bool TellingHasSpecialTokens(const Fact& fact) { return fact.kind == FactKind::kChat; }

// The answer without white space around it and the sentence's full stop.
std::string_view NormalizedAnswer(std::string_view answer);

// Whether a normalized answer is right: a needle's is the number and nothing else, a chat
// fact's ends with the name or city as a word, whatever the sentence ("is called Clara").
bool IsRight(std::string_view answer, const Fact& fact);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_FACTS_H_
