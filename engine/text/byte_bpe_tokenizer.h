// The byte-level BPE tokenizer behind Tokenizer::Load.
//
// Thread safety, ownership: as Tokenizer. Preconditions: none.
#ifndef EIDETIC_ENGINE_TEXT_BYTE_BPE_TOKENIZER_H_
#define EIDETIC_ENGINE_TEXT_BYTE_BPE_TOKENIZER_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/text/added_tokens.h"
#include "engine/text/bpe_merges.h"
#include "engine/text/split_pattern.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_json.h"
#include "engine/text/tokenizer_settings.h"
#include "engine/text/vocabulary.h"

namespace eidetic {

// The most text that one Encode takes: its positions are 32 bits wide, and its
// work space is up to 40 times as large.
inline constexpr size_t kMaxTextBytes = 16 << 20;

class ByteBpeTokenizer final : public Tokenizer {
 public:
  // Errors: INVALID_ARGUMENT, as Tokenizer::Load. Beyond what Hugging Face
  // checks, a special token must not be what bytes or merges give: then no
  // ordinary text can ever yield it.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerJson file);

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              bool parse_special) const override;
  std::string_view TokenBytes(TokenId id) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  bool IsSpecial(TokenId id) const override;
  std::optional<TokenId> AddedTokenId(std::string_view spelling) const override;
  int32_t vocab_size() const override { return vocabulary_.size(); }

 private:
  struct Encoding;  // one Encode in progress

  ByteBpeTokenizer(Vocabulary vocabulary, SplitPattern pattern)
      : vocabulary_(std::move(vocabulary)), pattern_(std::move(pattern)) {}

  absl::Status TakeAddedTokens(std::vector<AddedToken> tokens);
  absl::Status TakeMerges(std::vector<MergeRule> rules);

  // Text between added tokens that are looked for before the normalizer.
  absl::Status EncodeRaw(std::string_view text, Encoding* encoding) const;
  // Text between all added tokens.
  absl::Status EncodePlain(std::string_view text, Encoding* encoding) const;
  void EncodePiece(std::string_view piece, Encoding* encoding) const;

  Vocabulary vocabulary_;
  SplitPattern pattern_;
  BpeMerges merges_;
  std::array<TokenId, 256> byte_ids_{};
  std::vector<bool> special_;  // by id
  absl::flat_hash_map<std::string, TokenId> added_ids_;
  AddedTokenMatcher raw_added_;
  AddedTokenMatcher normalized_added_;
  bool nfc_ = false;
  bool add_prefix_space_ = false;
  bool ignore_merges_ = false;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_BYTE_BPE_TOKENIZER_H_
