// A text with facts hidden in it, repeated until it is as long as wanted, piece by piece.
//
// Thread safety: thread-compatible. Ownership: owns the text, of which it never holds a
//   second copy, nor the whole of the repeated one.
// Preconditions: none; what is wrong is refused.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_HAYSTACK_H_
#define EIDETIC_CLIENTS_CLI_RECALL_HAYSTACK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "clients/cli/recall_facts.h"

namespace eidetic::cli {

struct HaystackPlan {
  int needles = 10;
  int chat_facts = 0;
  uint64_t seed = 1;
  // About how long the whole is to be, tellings of facts included, in bytes; unset: the
  // text once.
  std::optional<uint64_t> bytes = {};
};

struct HaystackPiece {
  std::string text;
  bool parse_special = false;
};

class Haystack {
 public:
  // Hides the facts between paragraphs. The text, repeated and cut after a paragraph, is
  // divided for each kind into as many equal stretches of paragraph borders as there are
  // facts, and each stretch gets one fact at a border drawn from it. So facts are told
  // once, however often the text is. The same text and plan give the same haystack.
  // INVALID_ARGUMENT: as DrawNeedles and DrawChatFacts, no fact at all, or too few
  // borders (blank lines between paragraphs).
  static absl::StatusOr<Haystack> Make(std::string text, const HaystackPlan& plan);

  // In the order of their kind, then of their telling.
  const std::vector<Fact>& facts() const { return facts_; }
  // Of all pieces.
  uint64_t bytes() const { return bytes_; }
  // The next piece of kPieceBytes, sometimes less or up to twice that; none after the
  // last. Together they are a user's open turn, or several turns of which the last is
  // open, and end with a blank line. Only turns' borders have `parse_special`: the text
  // itself can not pose as one.
  std::optional<HaystackPiece> Next();

 private:
  // Told before the byte at `offset` of the repeated text.
  struct Insertion {
    uint64_t offset = 0;
    std::string text;
    bool parse_special = false;
  };

  explicit Haystack(std::string text);
  absl::Status Place(const std::vector<Fact>& facts, Random* random);
  void Cut(uint64_t bytes);
  uint64_t BordersBefore(uint64_t offset) const;
  uint64_t Border(uint64_t index) const;
  bool InsertsHere() const;
  std::string_view NextStretch() const;

  std::string text_;             // ends with a blank line
  std::vector<size_t> borders_;  // offsets in text_ where a paragraph begins, but the first
  std::vector<Fact> facts_;
  std::vector<Insertion> insertions_;  // by rising offset
  uint64_t end_ = 0;                   // of the repeated text
  uint64_t bytes_ = 0;
  uint64_t position_ = 0;  // in the repeated text: what comes next
  size_t inserted_ = 0;
};

// About 2M tokens: so few that memory does not matter, so many that a pause of the server
// between two of them does not either.
inline constexpr size_t kPieceBytes = 8 << 20;

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_HAYSTACK_H_
