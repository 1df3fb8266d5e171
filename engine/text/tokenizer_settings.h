// What a tokenizer.json asks for, apart from its vocabulary and merges.
//
// Thread safety: a plain value. Ownership: owns its strings. Preconditions:
//   none; the JSON is hostile, and whatever would change token ids in a way
//   that we do not have is refused by name.
#ifndef EIDETIC_ENGINE_TEXT_TOKENIZER_SETTINGS_H_
#define EIDETIC_ENGINE_TEXT_TOKENIZER_SETTINGS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/added_tokens.h"

namespace eidetic {

struct TokenizerSettings {
  std::vector<AddedToken> added_tokens;  // ids and spellings as in the file, unchecked against it
  bool nfc = false;
  std::string split_pattern;
  bool add_prefix_space = false;
  bool ignore_merges = false;  // a whole pre-token that is in the vocabulary is not cut up
};

// The post-processor may be absent, ByteLevel, TemplateProcessing, or a
// Sequence of these. It is ignored: all that they do is to add special tokens
// such as BOS, and we never add what the caller did not ask for.
absl::StatusOr<TokenizerSettings> ParseTokenizerSettings(const nlohmann::json& file);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_TOKENIZER_SETTINGS_H_
