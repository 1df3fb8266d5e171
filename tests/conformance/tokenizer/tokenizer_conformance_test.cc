// Our ids against those that Hugging Face's `tokenizers` gave for the same
// files and lines (make_goldens.py says how, version.txt with which version).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/text/incremental_detokenizer.h"
#include "engine/text/nfc.h"
#include "engine/text/tokenizer.h"

namespace eidetic {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLeastLines = 10000;

fs::path Data() { return "tests/conformance/tokenizer"; }

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A count and the FNV-1a hash of as many ids, as the golden files have them.
std::string Digest(const std::vector<TokenId>& ids) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xFF)) * 0x100000001b3;
    }
  }
  char text[64];
  std::snprintf(text, sizeof(text), "%zu %016llx", ids.size(),
                static_cast<unsigned long long>(hash));
  return text;
}

struct Golden {
  std::string plain, parsed;  // digests
  std::string ids;            // of `plain`; may be left out
};

Golden ParseGolden(const std::string& row) {
  Golden golden;
  const size_t equals = row.find(" = ");
  const std::string digests = row.substr(0, equals);
  if (equals != std::string::npos) golden.ids = row.substr(equals + 3);
  const size_t second = digests.find(' ', digests.find(' ') + 1);
  golden.plain = digests.substr(0, second);
  golden.parsed = second == std::string::npos ? golden.plain : digests.substr(second + 1);
  return golden;
}

std::vector<std::string> Lines() {
  std::vector<std::string> lines;
  std::ifstream in(Data() / "lines.jsonl");
  for (std::string row; std::getline(in, row);) lines.push_back(nlohmann::json::parse(row));
  return lines;
}

std::vector<Golden> Goldens(const std::string& name) {
  std::vector<Golden> goldens;
  std::ifstream in(Data() / name / "ids.txt");
  for (std::string row; std::getline(in, row);) goldens.push_back(ParseGolden(row));
  return goldens;
}

std::unique_ptr<Tokenizer> MustLoad(const fs::path& folder) {
  auto tokenizer = Tokenizer::Load(folder);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

std::string Join(const std::vector<TokenId>& ids) {
  std::ostringstream out;
  for (size_t i = 0; i < ids.size(); ++i) out << (i == 0 ? "" : " ") << ids[i];
  return out.str();
}

void ExpectAgreement(const Tokenizer& tokenizer, const std::string& name, size_t least_lines) {
  const std::vector<std::string> lines = Lines();
  const std::vector<Golden> goldens = Goldens(name);
  ASSERT_GE(goldens.size(), least_lines);
  ASSERT_GE(lines.size(), goldens.size());
  int wrong = 0;
  for (size_t i = 0; i < goldens.size() && wrong < 10; ++i) {
    const auto plain = tokenizer.Encode(lines[i], false);
    const auto parsed = tokenizer.Encode(lines[i], true);
    ASSERT_TRUE(plain.ok() && parsed.ok()) << plain.status() << parsed.status();
    const Golden& golden = goldens[i];
    const bool right = Digest(*plain) == golden.plain && Digest(*parsed) == golden.parsed &&
                       (golden.ids.empty() || Join(*plain) == golden.ids);
    wrong += right ? 0 : 1;
    EXPECT_TRUE(right) << "line " << i + 1 << ": " << nlohmann::json(lines[i]).dump(-1, ' ', true)
                       << "\nours: " << Join(*plain) << "\nwant: " << golden.ids;
  }
}

class TokenizerConformance : public testing::TestWithParam<const char*> {
 protected:
  fs::path Folder() const { return Data() / GetParam(); }
  nlohmann::json File() const {
    return nlohmann::json::parse(ReadFile(Folder() / "tokenizer.json"));
  }
};

TEST_P(TokenizerConformance, GivesTheIdsOfHuggingFace) {
  const auto tokenizer = MustLoad(Folder());
  ASSERT_NE(tokenizer, nullptr);
  ExpectAgreement(*tokenizer, GetParam(), kLeastLines);
}

TEST_P(TokenizerConformance, DecodesToTheText) {
  const auto tokenizer = MustLoad(Folder());
  ASSERT_NE(tokenizer, nullptr);
  const bool nfc = !File()["normalizer"].is_null();
  for (const std::string& line : Lines()) {
    const auto ids = tokenizer->Encode(line, false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    const std::string text = tokenizer->Decode(*ids, true);
    // A mark that follows an added token is composed with it only here.
    ASSERT_EQ(nfc ? ToNfc(text) : text, nfc ? ToNfc(line) : line);

    IncrementalDetokenizer detokenizer(tokenizer.get());
    std::string streamed;
    for (const TokenId id : *ids) streamed += detokenizer.Push(id);
    ASSERT_EQ(streamed + detokenizer.Flush(), text);
  }
}

TEST_P(TokenizerConformance, ContentNeverYieldsSpecialTokens) {
  const auto tokenizer = MustLoad(Folder());
  ASSERT_NE(tokenizer, nullptr);
  std::vector<std::string> texts = Lines();
  int specials = 0;
  const nlohmann::json file = File();
  for (const auto& added : file["added_tokens"]) {
    if (!added["special"]) continue;
    ++specials;
    const std::string spelling = added["content"];
    const TokenId id = tokenizer->AddedTokenId(spelling).value();
    for (const std::string& text :
         {spelling, "a" + spelling, spelling + "b", " " + spelling + "\n"}) {
      texts.push_back(text);
      EXPECT_EQ(std::ranges::count(*tokenizer->Encode(text, true), id), 1) << text;
    }
  }
  EXPECT_GT(specials, 0);
  for (const std::string& text : texts) {
    const auto ids = tokenizer->Encode(text, false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_TRUE(std::ranges::none_of(*ids, [&](TokenId id) { return tokenizer->IsSpecial(id); }))
        << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerConformance,
                         testing::Values("gpt2", "gpt_neox", "llama3", "qwen2"),
                         [](const auto& info) { return std::string(info.param); });

class PrefixSpaceConformance : public testing::TestWithParam<const char*> {};

TEST_P(PrefixSpaceConformance, GivesTheIdsOfHuggingFace) {
  const std::string name = GetParam();
  auto file = nlohmann::ordered_json::parse(ReadFile(Data() / name / "tokenizer.json"));
  file["pre_tokenizer"]["add_prefix_space"] = true;
  const fs::path folder = fs::path(testing::TempDir()) / (name + "_prefix");
  fs::create_directories(folder);
  std::ofstream(folder / "tokenizer.json") << file.dump();
  const auto tokenizer = MustLoad(folder);
  ASSERT_NE(tokenizer, nullptr);
  ExpectAgreement(*tokenizer, name + "_prefix", 500);
}

INSTANTIATE_TEST_SUITE_P(Families, PrefixSpaceConformance, testing::Values("gpt2", "gpt_neox"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace eidetic
