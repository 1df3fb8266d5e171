#include "engine/text/tiny_tokenizer.h"

#include <glog/logging.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/text/byte_alphabet.h"
#include "engine/text/utf8.h"

namespace eidetic {

TokenizerFile TinyTokenizerFile() {
  TokenizerFile vocab = TokenizerFile::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    AppendUtf8(LetterOfByte(static_cast<uint8_t>(byte)), &letter);
    vocab[letter] = byte;
  }
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "hello", "Ġhello"}) vocab[token] = next++;
  TokenizerFile added = TokenizerFile::array();
  for (const char* token : {"<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<tool>"}) {
    added.push_back({{"id", next++},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", std::string(token) != "<tool>"}});
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"h e", "l l", "he ll", "hell o", "Ġ hello"}}}}};
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadContent(const std::string& tokenizer_json,
                                                       const TokenizerLimits& limits) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "tokenizer";
  std::filesystem::create_directories(folder);
  // Truncating a file in place makes some file systems wait for the disk.
  std::filesystem::remove(folder / "tokenizer.json");
  std::ofstream out(folder / "tokenizer.json", std::ios::binary);
  out << tokenizer_json;
  out.close();
  CHECK(out);
  return Tokenizer::Load(folder, limits);
}

std::unique_ptr<Tokenizer> TinyTokenizer() {
  auto tokenizer = LoadContent(TinyTokenizerFile().dump());
  CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

}  // namespace eidetic
