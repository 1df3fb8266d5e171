#include "engine/text/chat_format.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/text/quoted.h"
#include "engine/text/utf8.h"

namespace eidetic {

absl::StatusOr<ChatFormat> ChatFormat::For(const Tokenizer* tokenizer) {
  ChatFormat format(tokenizer);
  const std::pair<const char*, TokenId*> needed[] = {{"<|user|>", &format.user_},
                                                     {"<|assistant|>", &format.assistant_},
                                                     {"<|system|>", &format.system_},
                                                     {"<|endoftext|>", &format.end_}};
  for (const auto& [spelling, id] : needed) {
    const std::optional<TokenId> found = tokenizer->AddedTokenId(spelling);
    if (!found || !tokenizer->IsSpecial(*found)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the tokenizer has no special token ", spelling,
                       ": this model has no chat format; send plain text"));
    }
    *id = *found;
  }
  return format;
}

absl::StatusOr<std::vector<TokenId>> ChatFormat::Render(std::span<const ChatMessage> messages,
                                                        bool add_generation_prompt,
                                                        bool parse_special) const {
  std::vector<TokenId> ids;
  const auto append = [&](TokenId role, const std::string& content) -> absl::Status {
    if (const std::optional<size_t> bad = FindInvalidUtf8(content)) {
      return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", *bad));
    }
    const auto encoded = tokenizer_->Encode("\n" + content, parse_special);
    if (!encoded.ok()) return encoded.status();
    ids.push_back(role);
    ids.insert(ids.end(), encoded->begin(), encoded->end());
    return absl::OkStatus();
  };
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool assistant = message.role == "assistant";
    if (!assistant && message.role != "user" && message.role != "system") {
      return absl::InvalidArgumentError(absl::StrCat(
          "messages[", i, "].role is ", Quoted(message.role), "; use system, user or assistant"));
    }
    const TokenId role = assistant ? assistant_ : message.role == "user" ? user_ : system_;
    if (absl::Status status = append(role, message.content); !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("messages[", i, "].content: ", status.message()));
    }
    if (assistant) ids.push_back(end_);
  }
  if (add_generation_prompt) {
    if (absl::Status status = append(assistant_, ""); !status.ok()) return status;
  }
  return ids;
}

}  // namespace eidetic
