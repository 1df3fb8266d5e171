// The merge rules of a byte-pair encoding, and their application to one word.
//
// Thread safety: const methods may run at once, each with its own Word.
// Ownership: owns its table. Preconditions: as said at each method.
#ifndef EIDETIC_ENGINE_TEXT_BPE_MERGES_H_
#define EIDETIC_ENGINE_TEXT_BPE_MERGES_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "memory/ids.h"

namespace eidetic {

using memory::TokenId;

struct MergeRule {
  TokenId left;
  TokenId right;
  TokenId result;
};

class BpeMerges {
 public:
  BpeMerges() = default;
  // rules[0] is applied first. Of two rules for one pair the later counts, as
  // in Hugging Face. Precondition: ids are not negative, and each result
  // spells its left and right in a row.
  explicit BpeMerges(std::vector<MergeRule> rules);

  // A word in the making; keep one and reuse it, to spare allocations.
  struct Word {
    struct Symbol {
      TokenId id;        // -1: merged into a symbol before it
      int32_t previous;  // -1: none
      int32_t next;      // -1: none
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> queue;  // rank << 32 | position of the pair's left symbol

    void Append(TokenId id);
  };

  // Applies the rules: always the first rule that fits anywhere, at the
  // leftmost place where it fits. O(n log n). Appends the result to `out` and
  // empties the word. Precondition: fewer than 2^31 symbols.
  void Apply(Word* word, std::vector<TokenId>* out) const;

 private:
  static uint64_t Pair(TokenId left, TokenId right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  // Queues the pair that begins at `position`, if a rule joins it.
  void Offer(int32_t position, Word* word) const;
  void Join(int32_t position, TokenId result, Word* word) const;

  std::vector<TokenId> results_;                   // by rank
  absl::flat_hash_map<uint64_t, uint32_t> ranks_;  // by pair
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_BPE_MERGES_H_
