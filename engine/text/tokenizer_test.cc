#include "engine/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/text/tiny_tokenizer.h"

namespace eidetic {
namespace {

using testing::ElementsAre;
using Ids = std::vector<TokenId>;

Ids Encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special = false) {
  const auto ids = tokenizer.Encode(text, parse_special);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.value_or(Ids());
}

Ids BytesOf(std::string_view text) {
  return Ids(reinterpret_cast<const uint8_t*>(text.begin()),
             reinterpret_cast<const uint8_t*>(text.end()));
}

std::unique_ptr<Tokenizer> MustLoad(const TokenizerFile& file) {
  auto tokenizer = LoadContent(file.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : TinyTokenizer();
}

TEST(Tokenizer, EncodesAndDecodes) {
  const auto tokenizer = TinyTokenizer();
  EXPECT_THAT(Encode(*tokenizer, "hello hello!"), ElementsAre(259, 260, '!'));
  EXPECT_THAT(Encode(*tokenizer, ""), ElementsAre());
  EXPECT_EQ(Encode(*tokenizer, "日\0"), BytesOf("日"));
  EXPECT_EQ(tokenizer->Decode(Ids{260, 0xE6, 0x97, 0xA5, 261, '.'}, true), " hello日.");
  EXPECT_EQ(tokenizer->Decode(Ids{260, 261}, false), " hello<|endoftext|>");
  EXPECT_EQ(tokenizer->Decode(Ids{'a', 0xE6, 0x97, 'b', 0xE6}, true), "a\uFFFDb\uFFFD");
  EXPECT_EQ(tokenizer->TokenBytes(260), " hello");
  EXPECT_EQ(tokenizer->TokenBytes(0xE6), "\xE6");
}

TEST(Tokenizer, SpecialTokensAreParsedOnlyWhenAsked) {
  const auto tokenizer = TinyTokenizer();
  EXPECT_THAT(Encode(*tokenizer, "<|user|>hello<tool>", true), ElementsAre(262, 259, 265));
  Ids expected = BytesOf("<|user|>");
  expected.insert(expected.end(), {259, 265});
  EXPECT_EQ(Encode(*tokenizer, "<|user|>hello<tool>"), expected);
  EXPECT_EQ(tokenizer->AddedTokenId("<|user|>"), 262);
  EXPECT_EQ(tokenizer->AddedTokenId("hello"), std::nullopt);
  EXPECT_TRUE(tokenizer->IsSpecial(262));
  EXPECT_FALSE(tokenizer->IsSpecial(265));
  EXPECT_EQ(tokenizer->vocab_size(), 266);
}

// With ignore_merges a pre-token that is in the vocabulary needs no merges; a
// special token's spelling must not come in by that door.
TEST(Tokenizer, IgnoreMergesNeverFindsASpecialToken) {
  TokenizerFile file = TinyTokenizerFile();
  file["model"]["ignore_merges"] = true;
  file["model"]["vocab"]["word"] = 300;
  file["model"]["vocab"]["secret"] = 301;
  file["added_tokens"].push_back({{"id", 301}, {"content", "secret"}, {"special", true}});
  const auto tokenizer = MustLoad(file);
  EXPECT_THAT(Encode(*tokenizer, "word"), ElementsAre(300));
  EXPECT_EQ(Encode(*tokenizer, "secret"), BytesOf("secret"));
  EXPECT_THAT(Encode(*tokenizer, "secret", true), ElementsAre(301));
  EXPECT_EQ(tokenizer->TokenBytes(280), "") << "padding of the vocabulary";
  EXPECT_EQ(tokenizer->Decode(Ids{280, 'a'}, false), "a");
}

TEST(Tokenizer, AddedTokensKeepTheirSpelling) {
  TokenizerFile file = TinyTokenizerFile();
  // In the byte alphabet "é" spells one byte that is no text.
  file["added_tokens"].push_back({{"id", 266}, {"content", "<é ｜>"}, {"special", true}});
  const auto tokenizer = MustLoad(file);
  EXPECT_THAT(Encode(*tokenizer, "<é ｜>", true), ElementsAre(266));
  EXPECT_EQ(tokenizer->TokenBytes(266), "<é ｜>");
}

TEST(Tokenizer, NormalizesBeforeOrdinaryTextOnly) {
  TokenizerFile file = TinyTokenizerFile();
  file["normalizer"] = {{"type", "NFC"}};
  file["added_tokens"].push_back({{"id", 266}, {"content", "e\u0301"}, {"special", false}});
  file["added_tokens"].push_back(
      {{"id", 267}, {"content", "\u1E69"}, {"special", false}, {"normalized", true}});
  const auto tokenizer = MustLoad(file);
  EXPECT_THAT(Encode(*tokenizer, "e\u0301"), ElementsAre(266)) << "found before NFC";
  EXPECT_THAT(Encode(*tokenizer, "s\u0307\u0323"), ElementsAre(267)) << "found after NFC";
  EXPECT_EQ(Encode(*tokenizer, "a\u0301"), BytesOf("\u00E1"));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const absl::Status status = TinyTokenizer()->Encode("abc\xFFz", false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), testing::HasSubstr("byte 3"));
}

TEST(Tokenizer, RefusesMoreTextThanItsLimit) {
  const auto ids = TinyTokenizer()->Encode(std::string((16 << 20) + 1, ' '), false);
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Tokenizer, MayBeUsedByManyThreads) {
  const auto tokenizer = TinyTokenizer();
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "hello hell he <|user|> 日\n";
  const Ids expected = Encode(*tokenizer, text);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 5; ++n) EXPECT_EQ(Encode(*tokenizer, text), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Tokenizer, SaysWhenThereIsNoFile) {
  EXPECT_EQ(Tokenizer::Load("/nowhere").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace eidetic
