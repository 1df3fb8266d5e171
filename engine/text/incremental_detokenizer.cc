#include "engine/text/incremental_detokenizer.h"

#include "engine/text/utf8.h"

namespace eidetic {

std::string IncrementalDetokenizer::Push(TokenId id) {
  std::string text;
  if (tokenizer_->IsSpecial(id)) return text;
  pending_.append(tokenizer_->TokenBytes(id));
  DrainUtf8(&pending_, &text);
  return text;
}

std::string IncrementalDetokenizer::Flush() {
  const bool held = !pending_.empty();
  pending_.clear();
  return std::string(held ? kReplacementCharacter : "");
}

}  // namespace eidetic
