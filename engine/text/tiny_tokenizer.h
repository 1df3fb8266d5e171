// A tokenizer for tests, small enough to read.
//
// Thread safety: pure but for a file in the test's own folder. Ownership: the
// caller owns the result. Preconditions: runs inside a GoogleTest.
//
// Ids: 0 to 255 are the bytes; then "he" 256, "ll" 257, "hell" 258, "hello"
// 259, " hello" 260; then the special tokens <|endoftext|> 261, <|user|> 262,
// <|assistant|> 263, <|system|> 264, and 265 <tool>, which is not special.
#ifndef EIDETIC_ENGINE_TEXT_TINY_TOKENIZER_H_
#define EIDETIC_ENGINE_TEXT_TINY_TOKENIZER_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

// Ordered, since model.vocab must come before model.merges.
using TokenizerFile = nlohmann::ordered_json;

TokenizerFile TinyTokenizerFile();

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadContent(const std::string& tokenizer_json,
                                                       const TokenizerLimits& limits = {});

std::unique_ptr<Tokenizer> TinyTokenizer();

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_TINY_TOKENIZER_H_
