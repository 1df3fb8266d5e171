#include "server/content_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

absl::StatusOr<std::vector<TokenId>> TextTokens(const v1::Content& content,
                                                const std::string& field, const Engine& engine) {
  if (content.text().empty()) return InvalidField(field, "is empty; give at least one character");
  auto tokens = engine.tokenizer().Encode(content.text(), content.parse_special());
  if (!tokens.ok()) return WithField(field, tokens.status());
  return tokens;
}

absl::StatusOr<std::vector<TokenId>> MessageTokens(const v1::Content& content,
                                                   const std::string& field, ContentUse use,
                                                   const Engine& engine) {
  if (engine.chat_format() == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(field, ": the model has no chat form; send text or tokens"));
  }
  if (content.messages().messages().empty()) {
    return InvalidField(field, "is empty; give at least one message");
  }
  std::vector<ChatMessage> messages;
  for (const v1::Message& message : content.messages().messages()) {
    messages.push_back({message.role(), message.content()});
  }
  auto tokens =
      engine.chat_format()->Render(messages, use == ContentUse::kAnswer, content.parse_special());
  if (!tokens.ok()) return WithField(field, tokens.status());
  return tokens;
}

}  // namespace

int32_t VocabularySize(const Engine& engine) {
  return std::min(engine.tokenizer().vocab_size(), engine.model().description().vocab_size);
}

absl::Status CheckTokenIds(const google::protobuf::RepeatedField<int32_t>& ids,
                           const std::string& field, const Engine& engine) {
  const int32_t size = VocabularySize(engine);
  const auto bad =
      std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= size; });
  if (bad == ids.end()) return absl::OkStatus();
  return CheckRange(absl::StrCat(field, "[", bad - ids.begin(), "]"), *bad, 0, size - 1);
}

absl::StatusOr<std::vector<TokenId>> ContentTokens(const v1::Content& content,
                                                   const std::string& field, ContentUse use,
                                                   const Engine& engine) {
  switch (content.form_case()) {
    case v1::Content::kText:
      return TextTokens(content, field + ".text", engine);
    case v1::Content::kTokens: {
      const auto& ids = content.tokens().ids();
      if (ids.empty()) return InvalidField(field + ".tokens", "is empty; give at least one id");
      const absl::Status status = CheckTokenIds(ids, field + ".tokens.ids", engine);
      if (!status.ok()) return status;
      return std::vector<TokenId>(ids.begin(), ids.end());
    }
    case v1::Content::kMessages:
      return MessageTokens(content, field + ".messages", use, engine);
    case v1::Content::FORM_NOT_SET:
      break;
  }
  return InvalidField(field, "is empty; set text, tokens or messages");
}

}  // namespace eidetic
