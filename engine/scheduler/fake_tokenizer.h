// A tokenizer for tests: ids 0 to 255 are single bytes, 256 ends a text.
//
// Thread safety: immutable. Ownership: values. Preconditions: as Tokenizer says.
#ifndef EIDETIC_ENGINE_SCHEDULER_FAKE_TOKENIZER_H_
#define EIDETIC_ENGINE_SCHEDULER_FAKE_TOKENIZER_H_

#include <string>
#include <utility>
#include <vector>

#include "engine/text/tokenizer.h"

namespace eidetic {

class FakeTokenizer : public Tokenizer {
 public:
  static constexpr TokenId kEnd = 256;  // special
  static constexpr int32_t kVocabSize = 257;

  FakeTokenizer() {
    for (int byte = 0; byte < 256; ++byte) bytes_.emplace_back(1, static_cast<char>(byte));
    bytes_.push_back("<|endoftext|>");
  }

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string_view TokenBytes(TokenId id) const override { return bytes_[id]; }
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::string text;
    for (TokenId id : ids) {
      if (!(skip_special && IsSpecial(id))) text += bytes_.at(id);
    }
    return text;
  }
  bool IsSpecial(TokenId id) const override { return id == kEnd; }
  std::optional<TokenId> AddedTokenId(std::string_view spelling) const override {
    return spelling == bytes_[kEnd] ? std::optional<TokenId>(kEnd) : std::nullopt;
  }
  int32_t vocab_size() const override { return kVocabSize; }

 private:
  std::vector<std::string> bytes_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_FAKE_TOKENIZER_H_
