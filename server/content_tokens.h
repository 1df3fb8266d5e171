// What a request gives the model, as token ids.
//
// Thread safety: pure functions over an immutable tokenizer. Ownership: none.
// Preconditions: none: content is hostile.
#ifndef EIDETIC_SERVER_CONTENT_TOKENS_H_
#define EIDETIC_SERVER_CONTENT_TOKENS_H_

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eidetic/v1/content.pb.h"
#include "engine/engine.h"

namespace eidetic {

// How a list of messages ends.
enum class ContentUse {
  kAppend,  // with its last message
  kAnswer,  // with the words that begin an assistant's message; text and tokens as they stand
};

// At least one token. INVALID_ARGUMENT naming a field under `field`; FAILED_PRECONDITION for
// messages to a model without a chat form.
absl::StatusOr<std::vector<TokenId>> ContentTokens(const v1::Content& content,
                                                   const std::string& field, ContentUse use,
                                                   const Engine& engine);

// INVALID_ARGUMENT naming the first id that the model does not have.
absl::Status CheckTokenIds(const google::protobuf::RepeatedField<int32_t>& ids,
                           const std::string& field, const Engine& engine);

// Ids from 0 up to this exist both as text and in the model.
int32_t VocabularySize(const Engine& engine);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_CONTENT_TOKENS_H_
