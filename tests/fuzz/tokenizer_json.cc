// tokenizer.json; what is accepted then encodes and decodes.
#include <glog/logging.h>

#include <cctype>
#include <nlohmann/json.hpp>

#include "engine/text/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch_folder.h"

namespace eidetic::fuzz {
namespace {

using Json = nlohmann::ordered_json;  // model.vocab comes before model.merges

// "\u0100" and so on, as the ByteLevel alphabet spells bytes that are no printable ASCII.
std::string Letter(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

Json Vocabulary() {
  Json vocab = Json::object();
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte < 0x100 && byte != 0xAD);
    vocab[Letter(itself ? byte : next++)] = byte;
  }
  return vocab;
}

Json File(const Json& normalizer, const Json& pre_tokenizer) {
  Json vocab = Vocabulary();
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "hello", "Ġhello"}) vocab[token] = next++;
  const Json end = {{"id", next},      {"content", "<|end|>"}, {"single_word", false},
                    {"lstrip", false}, {"rstrip", true},       {"normalized", false},
                    {"special", true}};
  return {{"version", "1.0"},
          {"added_tokens", Json::array({end})},
          {"normalizer", normalizer},
          {"pre_tokenizer", pre_tokenizer},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"h e", "l l", "he ll", "hell o", "Ġ hello"}}}}};
}

}  // namespace

std::vector<std::string> Seeds() {
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", R"(\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\s+)"}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json no_regex = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json sequence = {{"type", "Sequence"}, {"pretokenizers", {split, no_regex}}};
  return {File(nullptr, byte_level).dump(), File({{"type", "NFC"}}, sequence).dump()};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const eidetic::fuzz::ScratchFolder folder;
  folder.Write("tokenizer.json", eidetic::fuzz::View(data, size));
  const auto tokenizer = eidetic::Tokenizer::Load(folder.path());
  if (!tokenizer.ok()) return 0;
  for (const char* text : {"hello <|end|>", "a\xCC\x81 42\n\n", "\xF0\x9F\x98\x80\xE4\xBD\xA0"}) {
    const auto ids = (*tokenizer)->Encode(text, true);
    if (!ids.ok()) continue;
    for (const eidetic::TokenId id : *ids) {
      CHECK(id >= 0 && id < (*tokenizer)->vocab_size()) << id;
      (void)(*tokenizer)->TokenBytes(id);
    }
    (void)(*tokenizer)->Decode(*ids, false);
  }
  return 0;
}
