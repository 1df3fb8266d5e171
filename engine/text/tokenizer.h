// Byte-level BPE tokenizer that reads Hugging Face's tokenizer.json.
//
// What: text <-> token ids, equal to Hugging Face `tokenizers` for byte-level
//   BPE models (ByteLevel or Split+ByteLevel pre-tokenizers: the GPT-2,
//   GPT-NeoX, Llama-3 and Qwen patterns), with added tokens. Not for marks that
//   are younger than their normalizer (nfc.h). BOS is never added: a
//   post_processor that would is ignored.
// Thread safety: immutable after Load; all const methods may run at once.
// Ownership: owns its tables; the returned views live as long as it does.
// Preconditions: none; files are hostile input and are refused with a Status.
#ifndef EIDETIC_ENGINE_TEXT_TOKENIZER_H_
#define EIDETIC_ENGINE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "memory/ids.h"

namespace eidetic {

using memory::TokenId;

// Bounds on what a tokenizer.json may ask of us.
struct TokenizerLimits {
  int64_t max_file_bytes = 64 << 20;
  int32_t max_vocab_size = 1 << 20;
  int32_t max_json_depth = 16;
  int32_t max_token_bytes = 4096;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Reads `folder`/tokenizer.json. Errors: NOT_FOUND (no file),
  // INVALID_ARGUMENT (truncated, cyclic, over a limit, a feature that we do
  // not have such as a normalizer; the message names the field).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& folder,
                                                         const TokenizerLimits& limits = {});

  // Text to ids. Without `parse_special` the spelling of a special token in
  // `text` encodes as ordinary text and never yields its id. (Added tokens
  // that are not special are matched in both modes, as Hugging Face does.)
  // Errors: INVALID_ARGUMENT for invalid UTF-8, with the byte offset.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                                      bool parse_special) const = 0;

  // The raw bytes of one token; may end inside a UTF-8 character. Special
  // tokens give their spelling. Precondition: 0 <= id < vocab_size().
  // An id without an entry (padding of the vocabulary) gives "".
  virtual std::string_view TokenBytes(TokenId id) const = 0;

  // Ids to text; invalid UTF-8 becomes U+FFFD. Special tokens are left out
  // when `skip_special`. Precondition: every id is within the vocabulary.
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special) const = 0;

  virtual bool IsSpecial(TokenId id) const = 0;
  // The id of an added token by its exact spelling.
  virtual std::optional<TokenId> AddedTokenId(std::string_view spelling) const = 0;
  // One more than the largest id that has an entry.
  virtual int32_t vocab_size() const = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_TOKENIZER_H_
