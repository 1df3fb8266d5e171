#include "engine/text/tokenizer_settings.h"

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

using nlohmann::json;

// The pattern that ByteLevel brings with use_regex.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

absl::Status Refuse(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json: ", absl::string_view(field.data(), field.size()), " ",
                   absl::string_view(why.data(), why.size())));
}

// A JSON value and where it stands. Reading a field of something that is no
// object, or of another type than asked for, gives the fallback.
struct Node {
  const json* value;
  std::string path;

  Node operator[](const char* key) const {
    static const json kAbsent;
    const bool there = value->is_object() && value->contains(key);
    return {there ? &value->at(key) : &kAbsent, absl::StrCat(path, path.empty() ? "" : ".", key)};
  }
  std::vector<Node> Elements() const {
    std::vector<Node> out;
    for (size_t i = 0; value->is_array() && i < value->size(); ++i) {
      out.push_back({&value->at(i), absl::StrCat(path, "[", i, "]")});
    }
    return out;
  }
  bool IsNull() const { return value->is_null(); }
  bool Is(const json& wanted) const { return *value == wanted; }
  std::string Text() const { return value->is_string() ? value->get<std::string>() : ""; }
  absl::Status Read(bool* out) const {  // leaves *out as it is when absent
    if (IsNull()) return absl::OkStatus();
    if (!value->is_boolean()) return Refuse(path, "must be true or false");
    *out = value->get<bool>();
    return absl::OkStatus();
  }
  // OK when the value is null or one of `allowed`.
  absl::Status OnlyIf(std::initializer_list<json> allowed, std::string_view why) const {
    if (IsNull()) return absl::OkStatus();
    for (const json& one : allowed) {
      if (Is(one)) return absl::OkStatus();
    }
    return Refuse(path, why);
  }
};

absl::Status FirstError(std::initializer_list<absl::Status> all) {
  for (const absl::Status& status : all) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ParseAddedToken(const Node& node) {
  AddedToken token = {node["content"].Text(), -1, false, false};
  if (token.spelling.empty() || token.spelling.size() > kMaxAddedTokenBytes) {
    return Refuse(node["content"].path,
                  absl::StrCat("must be a string of 1 to ", kMaxAddedTokenBytes, " bytes"));
  }
  const json& id = *node["id"].value;
  if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
    return Refuse(node["id"].path, "must be a whole number below 2^31");
  }
  token.id = id.get<memory::TokenId>();
  const absl::Status flags =
      FirstError({node["special"].Read(&token.special), node["normalized"].Read(&token.normalized),
                  node["lstrip"].OnlyIf({false}, "is not supported; set it to false"),
                  node["rstrip"].OnlyIf({false}, "is not supported; set it to false"),
                  node["single_word"].OnlyIf({false}, "is not supported; set it to false")});
  if (!flags.ok()) return flags;
  return token;
}

absl::Status ParseAddedTokens(const Node& node, std::vector<AddedToken>* out) {
  if (!node.IsNull() && !node.value->is_array()) return Refuse(node.path, "must be a list");
  for (const Node& element : node.Elements()) {
    absl::StatusOr<AddedToken> token = ParseAddedToken(element);
    if (!token.ok()) return token.status();
    out->push_back(*std::move(token));
  }
  return absl::OkStatus();
}

absl::Status ParseNormalizer(const Node& node, bool* nfc) {
  if (node.IsNull()) return absl::OkStatus();
  *nfc = node["type"].Is("NFC");
  return *nfc ? absl::OkStatus() : Refuse(node.path, "must be null or NFC");
}

// [Split by a regular expression, ByteLevel that does not split again].
absl::Status ParseSplitSequence(const Node& node, TokenizerSettings* out) {
  const std::vector<Node> steps = node["pretokenizers"].Elements();
  if (steps.size() != 2 || !steps[0]["type"].Is("Split") || !steps[1]["type"].Is("ByteLevel")) {
    return Refuse(node.path, "of type Sequence must be [Split, ByteLevel]");
  }
  out->split_pattern = steps[0]["pattern"]["Regex"].Text();
  if (out->split_pattern.empty()) return Refuse(steps[0]["pattern"].path, "must be a Regex");
  if (!steps[0]["behavior"].Is("Isolated")) {
    return Refuse(steps[0]["behavior"].path, "must be Isolated");
  }
  if (!steps[1]["use_regex"].Is(false)) {
    return Refuse(steps[1]["use_regex"].path, "must be false after a Split");
  }
  return FirstError({steps[0]["invert"].OnlyIf({false}, "must be false"),
                     steps[1]["add_prefix_space"].OnlyIf({false}, "must be false after a Split")});
}

absl::Status ParsePreTokenizer(const Node& node, TokenizerSettings* out) {
  if (node["type"].Is("Sequence")) return ParseSplitSequence(node, out);
  if (!node["type"].Is("ByteLevel")) {
    return Refuse(node.path, "must be ByteLevel, or a Sequence of Split and ByteLevel");
  }
  out->split_pattern = kGpt2Pattern;
  return FirstError({node["use_regex"].OnlyIf({true}, "must be true where nothing else splits"),
                     node["add_prefix_space"].Read(&out->add_prefix_space)});
}

absl::Status CheckPostProcessor(const Node& node) {
  constexpr std::string_view kWhy =
      "must be null, ByteLevel, TemplateProcessing or a Sequence of these";
  const auto known = [](const Node& one) {
    return one["type"].Is("ByteLevel") || one["type"].Is("TemplateProcessing");
  };
  if (node.IsNull() || known(node)) return absl::OkStatus();
  if (!node["type"].Is("Sequence")) return Refuse(node.path, kWhy);
  for (const Node& one : node["processors"].Elements()) {
    if (!known(one)) return Refuse(one.path, kWhy);
  }
  return absl::OkStatus();
}

absl::Status ParseModel(const Node& node, bool* ignore_merges) {
  if (!node.value->is_object()) return Refuse(node.path, "is missing");
  // The two tables were taken out; another type was left as it is.
  if (!node["vocab"].Is(json::object())) return Refuse(node["vocab"].path, "must be an object");
  if (!node["merges"].Is(json::array())) return Refuse(node["merges"].path, "must be a list");
  return FirstError(
      {node["type"].OnlyIf({"BPE"}, "must be BPE"),
       node["dropout"].OnlyIf({0.0}, "is not supported; set it to null"),
       node["continuing_subword_prefix"].OnlyIf({""}, "is not supported; set it to null"),
       node["end_of_word_suffix"].OnlyIf({""}, "is not supported; set it to null"),
       node["byte_fallback"].OnlyIf({false}, "must be false in a byte-level model"),
       node["ignore_merges"].Read(ignore_merges)});
}

}  // namespace

absl::StatusOr<TokenizerSettings> ParseTokenizerSettings(const nlohmann::json& file) {
  const Node root = {&file, ""};
  TokenizerSettings out;
  const absl::Status status = FirstError(
      {root["truncation"].OnlyIf({}, "is not supported; set it to null"),
       root["padding"].OnlyIf({}, "is not supported; set it to null"),
       ParseAddedTokens(root["added_tokens"], &out.added_tokens),
       ParseNormalizer(root["normalizer"], &out.nfc),
       ParsePreTokenizer(root["pre_tokenizer"], &out), CheckPostProcessor(root["post_processor"]),
       root["decoder"]["type"].Is("ByteLevel") ? absl::OkStatus()
                                               : Refuse("decoder", "must be ByteLevel"),
       ParseModel(root["model"], &out.ignore_merges)});
  if (!status.ok()) return status;
  return out;
}

}  // namespace eidetic
