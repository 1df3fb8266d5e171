// Reads the JSON of a tokenizer.json without trusting it.
//
// What: the two big tables go straight into compact form as they are read; the
//   rest, which is small, becomes a JSON value.
// Thread safety: pure function. Ownership: the result owns everything.
// Preconditions: none; the bytes are hostile. Memory stays below a fixed
//   multiple of the limits, whatever the bytes say.
#ifndef EIDETIC_ENGINE_TEXT_TOKENIZER_JSON_H_
#define EIDETIC_ENGINE_TEXT_TOKENIZER_JSON_H_

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/bpe_merges.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

namespace eidetic {

// Values outside model.vocab and model.merges; 256 added tokens make 2,000.
inline constexpr int kMaxSettingsValues = 1 << 18;
// Llama-3 has 2.2 merges per token; at the largest vocabulary this leaves two.
inline constexpr size_t kMaxMerges = 1 << 21;

struct TokenizerJson {
  nlohmann::json settings;  // everything; model.vocab {} and model.merges [] stand empty
  Vocabulary vocabulary;
  std::vector<MergeRule> merges;
};

// Errors: INVALID_ARGUMENT naming the field, or the byte where the JSON ends
// to be JSON.
absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text,
                                                 const TokenizerLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_TOKENIZER_JSON_H_
