#include "engine/text/byte_bpe_tokenizer.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/byte_alphabet.h"
#include "engine/text/nfc.h"
#include "engine/text/quoted.h"
#include "engine/text/utf8.h"

namespace eidetic {
namespace {

absl::Status Refuse(const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", why));
}

}  // namespace

struct ByteBpeTokenizer::Encoding {
  bool parse_special;
  std::vector<TokenId> ids;
  BpeMerges::Word word;
};

absl::Status ByteBpeTokenizer::TakeAddedTokens(std::vector<AddedToken> tokens) {
  std::vector<AddedToken> raw, normalized;
  for (AddedToken& token : tokens) {
    if (!added_ids_.emplace(token.spelling, token.id).second) {
      return Refuse(absl::StrCat("added_tokens: ", Quoted(token.spelling), " is repeated"));
    }
    const absl::Status status = vocabulary_.AddAddedToken(token.spelling, token.id, token.special);
    if (!status.ok()) return Refuse(absl::StrCat("added_tokens: ", status.message()));
    if (static_cast<size_t>(token.id) >= special_.size()) special_.resize(token.id + 1);
    special_[token.id] = token.special;
    if (token.normalized && nfc_ && ToNfc(token.spelling) != token.spelling) {
      return Refuse(
          absl::StrCat("added_tokens: ", Quoted(token.spelling), " is normalized but not in NFC"));
    }
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  raw_added_ = AddedTokenMatcher(std::move(raw));
  normalized_added_ = AddedTokenMatcher(std::move(normalized));
  return absl::OkStatus();
}

absl::Status ByteBpeTokenizer::TakeMerges(std::vector<MergeRule> rules) {
  for (size_t i = 0; i < rules.size(); ++i) {
    if (IsSpecial(rules[i].result)) {
      return Refuse(absl::StrCat("model.merges[", i,
                                 "]: ordinary text would give the special token ",
                                 Quoted(TokenBytes(rules[i].result))));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::optional<TokenId> id = vocabulary_.FindBytes(std::string_view(&c, 1));
    if (!id) {
      std::string letter;
      AppendUtf8(LetterOfByte(static_cast<uint8_t>(byte)), &letter);
      return Refuse(absl::StrCat("model.vocab: byte ", byte, " (", Quoted(letter),
                                 ") has no ordinary token"));
    }
    byte_ids_[byte] = *id;
  }
  merges_ = BpeMerges(std::move(rules));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> ByteBpeTokenizer::Create(TokenizerJson file) {
  absl::StatusOr<TokenizerSettings> settings = ParseTokenizerSettings(file.settings);
  if (!settings.ok()) return settings.status();
  absl::StatusOr<SplitPattern> pattern = SplitPattern::Compile(settings->split_pattern);
  if (!pattern.ok()) {
    return Refuse(absl::StrCat("pre_tokenizer: ", pattern.status().message()));
  }
  std::unique_ptr<ByteBpeTokenizer> tokenizer(
      new ByteBpeTokenizer(std::move(file.vocabulary), *std::move(pattern)));
  tokenizer->nfc_ = settings->nfc;
  tokenizer->add_prefix_space_ = settings->add_prefix_space;
  tokenizer->ignore_merges_ = settings->ignore_merges;
  absl::Status status = tokenizer->TakeAddedTokens(std::move(settings->added_tokens));
  if (status.ok()) status = tokenizer->TakeMerges(std::move(file.merges));
  if (!status.ok()) return status;
  return tokenizer;
}

absl::StatusOr<std::vector<TokenId>> ByteBpeTokenizer::Encode(std::string_view text,
                                                              bool parse_special) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has over ", kMaxTextBytes, " bytes; send it in parts"));
  }
  if (const std::optional<size_t> bad = FindInvalidUtf8(text)) {
    return absl::InvalidArgumentError(absl::StrCat("the text is not UTF-8 at byte ", *bad));
  }
  Encoding encoding = {parse_special, {}, {}};
  const absl::Status status = raw_added_.ForEachSegment(
      text, parse_special, [&](const AddedTokenMatcher::Segment& segment) {
        if (!segment.id) return EncodeRaw(segment.text, &encoding);
        encoding.ids.push_back(*segment.id);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return std::move(encoding.ids);
}

absl::Status ByteBpeTokenizer::EncodeRaw(std::string_view text, Encoding* encoding) const {
  std::string normal_form;
  if (nfc_) {
    normal_form = ToNfc(text);
    text = normal_form;
  }
  return normalized_added_.ForEachSegment(text, encoding->parse_special,
                                          [&](const AddedTokenMatcher::Segment& segment) {
                                            if (!segment.id)
                                              return EncodePlain(segment.text, encoding);
                                            encoding->ids.push_back(*segment.id);
                                            return absl::OkStatus();
                                          });
}

absl::Status ByteBpeTokenizer::EncodePlain(std::string_view text, Encoding* encoding) const {
  std::string prefixed;
  if (add_prefix_space_ && text[0] != ' ') {
    prefixed = absl::StrCat(" ", absl::string_view(text.data(), text.size()));
    text = prefixed;
  }
  return pattern_.Split(text, [&](std::string_view piece) { EncodePiece(piece, encoding); });
}

void ByteBpeTokenizer::EncodePiece(std::string_view piece, Encoding* encoding) const {
  if (ignore_merges_) {
    if (const std::optional<TokenId> whole = vocabulary_.FindBytes(piece)) {
      encoding->ids.push_back(*whole);
      return;
    }
  }
  for (const char c : piece) encoding->word.Append(byte_ids_[static_cast<uint8_t>(c)]);
  merges_.Apply(&encoding->word, &encoding->ids);
}

std::string_view ByteBpeTokenizer::TokenBytes(TokenId id) const {
  CHECK(id >= 0 && id < vocab_size()) << "token id " << id << " of " << vocab_size();
  return vocabulary_.Bytes(id);
}

std::string ByteBpeTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (!(skip_special && IsSpecial(id))) bytes.append(TokenBytes(id));
  }
  std::string text;
  text.reserve(bytes.size());
  DrainUtf8(&bytes, &text);
  if (!bytes.empty()) text.append(kReplacementCharacter);
  return text;
}

bool ByteBpeTokenizer::IsSpecial(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < special_.size() && special_[id];
}

std::optional<TokenId> ByteBpeTokenizer::AddedTokenId(std::string_view spelling) const {
  const auto found = added_ids_.find(absl::string_view(spelling.data(), spelling.size()));
  if (found == added_ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace eidetic
