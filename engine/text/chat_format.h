// Renders conversations as the token ids that a model was trained on.
//
// Thread safety: immutable. Ownership: borrows the tokenizer, which must
// outlive it. Preconditions: none.
//
// The form: each message is its role's special token, then "\n" + content
// encoded as ordinary text (so content can not change roles), then for an
// assistant's message the end token. Example: user "Hi" is
// [<|user|>, ids("\nHi")...]; the generation prompt is
// [<|assistant|>, ids("\n")...].
#ifndef EIDETIC_ENGINE_TEXT_CHAT_FORMAT_H_
#define EIDETIC_ENGINE_TEXT_CHAT_FORMAT_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatFormat {
 public:
  // FAILED_PRECONDITION when the tokenizer lacks one of the special tokens
  // <|user|>, <|assistant|>, <|system|>, <|endoftext|>.
  static absl::StatusOr<ChatFormat> For(const Tokenizer* tokenizer);

  // INVALID_ARGUMENT for an unknown role or invalid UTF-8; names the message.
  // `parse_special` lets content yield special tokens.
  absl::StatusOr<std::vector<TokenId>> Render(std::span<const ChatMessage> messages,
                                              bool add_generation_prompt, bool parse_special) const;
  TokenId end_token() const { return end_; }

 private:
  explicit ChatFormat(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  const Tokenizer* tokenizer_;
  TokenId user_ = 0, assistant_ = 0, system_ = 0, end_ = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_CHAT_FORMAT_H_
