#include "server/fake_model.h"

#include <iterator>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

constexpr const char* kSpecials[] = {"<|user|>", "<|assistant|>", "<|system|>", "<|endoftext|>"};

}  // namespace

FakeChatTokenizer::FakeChatTokenizer() {
  for (int byte = 0; byte < 256; ++byte) bytes_.emplace_back(1, static_cast<char>(byte));
  bytes_.insert(bytes_.end(), std::begin(kSpecials), std::end(kSpecials));
}

absl::StatusOr<std::vector<TokenId>> FakeChatTokenizer::Encode(std::string_view text,
                                                               bool parse_special) const {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0xF8) {
      return absl::InvalidArgumentError(absl::StrCat("the text is not UTF-8 at byte ", i));
    }
    TokenId id = byte;
    for (TokenId special = kUser; parse_special && special <= kEnd; ++special) {
      if (text.substr(i).starts_with(bytes_[special])) id = special;
    }
    ids.push_back(id);
    i += bytes_[id].size();
  }
  return ids;
}

std::string FakeChatTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string text;
  for (const TokenId id : ids) {
    if (!skip_special || !IsSpecial(id)) text += bytes_.at(id);
  }
  return text;
}

std::optional<TokenId> FakeChatTokenizer::AddedTokenId(std::string_view spelling) const {
  for (TokenId id = kUser; id <= kEnd; ++id) {
    if (bytes_[id] == spelling) return id;
  }
  return std::nullopt;
}

FakeModel::FakeModel() {
  description_.family = "fake";
  description_.vocab_size = FakeChatTokenizer::kVocabulary + 4;  // padded, as models are
  description_.trained_context = 4096;
  description_.end_tokens = {FakeChatTokenizer::kEnd};
  description_.layers.resize(3);
  description_.layers[1].mixer = MixerKind::kAttention;
}

}  // namespace eidetic
