// The tokens of a byte-level BPE vocabulary: spelling <-> id <-> bytes.
//
// Thread safety: const methods may run at once. Ownership: owns all bytes; the
// views it returns live as long as it does. Preconditions: spellings are
// UTF-8; otherwise anything may come from a hostile file.
#ifndef EIDETIC_ENGINE_TEXT_VOCABULARY_H_
#define EIDETIC_ENGINE_TEXT_VOCABULARY_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

class Vocabulary {
 public:
  explicit Vocabulary(const TokenizerLimits& limits) : limits_(limits) {}
  // Not copied: the tables hold views into the stored bytes. A move keeps them.
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // An entry of model.vocab, spelled in the byte alphabet or, failing that,
  // verbatim. INVALID_ARGUMENT for an empty, overlong or repeated token, or a
  // repeated or impossible id: so no two tokens can be merged in a circle.
  absl::Status Add(std::string_view spelling, int64_t id);

  // An added token; its bytes are its spelling. It may repeat the entry that
  // model.vocab has for it. INVALID_ARGUMENT when the two contradict.
  // A special token is no longer found by FindBytes, whatever text spells it.
  absl::Status AddAddedToken(std::string_view spelling, int64_t id, bool special);

  std::optional<TokenId> FindSpelling(std::string_view spelling) const;
  std::optional<TokenId> FindBytes(std::string_view bytes) const;

  // Precondition: 0 <= id < size().
  std::string_view Bytes(TokenId id) const { return bytes_[id]; }
  bool HasEntry(TokenId id) const { return !bytes_[id].empty(); }
  // One more than the largest id.
  int32_t size() const { return static_cast<int32_t>(bytes_.size()); }

 private:
  // Abseil's own view type, since its hash is seeded by process: a hostile file
  // can not choose tokens that collide, as it can for std::hash.
  struct SeededHash {
    size_t operator()(std::string_view s) const {
      return absl::HashOf(absl::string_view(s.data(), s.size()));
    }
  };
  using Index = absl::flat_hash_map<std::string_view, TokenId, SeededHash>;

  absl::Status CheckNew(std::string_view spelling, std::string_view bytes, int64_t id) const;
  std::string_view Store(std::string_view bytes);
  void SetBytes(std::string_view stored, int64_t id);

  TokenizerLimits limits_;
  std::deque<std::string> chunks_;       // stable storage; each chunk is filled in place
  std::vector<std::string_view> bytes_;  // by id; empty: no entry
  Index by_bytes_;                       // tokens spelled in the byte alphabet
  Index by_verbatim_;                    // the others: BPE never makes them
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_VOCABULARY_H_
