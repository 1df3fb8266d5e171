// Files that Tokenizer::Load must refuse, or must take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <string>

#include "engine/text/tiny_tokenizer.h"

namespace eidetic {
namespace {

using testing::HasSubstr;

void ExpectRefused(const std::string& content, const std::string& why,
                   const TokenizerLimits& limits = {}) {
  const absl::Status status = LoadContent(content, limits).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\n")));
  EXPECT_LT(status.message().size(), 300u);
}

// One change to a good file, and the words that the refusal must contain.
struct Change {
  const char* pointer;
  const char* value;
  const char* why;
};

class RefusedFile : public testing::TestWithParam<Change> {};

TEST_P(RefusedFile, IsNamed) {
  TokenizerFile file = TinyTokenizerFile();
  file[TokenizerFile::json_pointer(GetParam().pointer)] = TokenizerFile::parse(GetParam().value);
  ExpectRefused(file.dump(), GetParam().why);
}

constexpr Change kUnsupported[] = {
    {"/truncation", R"({"max_length":8})", "truncation is not supported"},
    {"/padding", R"({"strategy":"BatchLongest"})", "padding is not supported"},
    {"/normalizer", R"({"type":"Lowercase"})", "normalizer must be null or NFC"},
    {"/pre_tokenizer", "null", "pre_tokenizer must be ByteLevel"},
    {"/pre_tokenizer/type", R"("Metaspace")", "pre_tokenizer must be ByteLevel"},
    {"/pre_tokenizer/use_regex", "false", "pre_tokenizer.use_regex must be true"},
    {"/pre_tokenizer/add_prefix_space", "1", "pre_tokenizer.add_prefix_space must be true or"},
    {"/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"}]})",
     "must be [Split, ByteLevel]"},
    {"/pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[
         {"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated"},
         {"type":"ByteLevel","use_regex":false}]})",
     "pre_tokenizer: the construct"},
    {"/pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[
         {"type":"Split","pattern":{"Regex":"a+"},"behavior":"Removed"},
         {"type":"ByteLevel","use_regex":false}]})",
     "pretokenizers[0].behavior must be Isolated"},
    {"/post_processor", R"({"type":"BertProcessing"})", "post_processor must be"},
    {"/decoder", "null", "decoder must be ByteLevel"},
    {"/model/type", R"("Unigram")", "model.type must be BPE"},
    {"/model/dropout", "0.1", "model.dropout is not supported"},
    {"/model/byte_fallback", "true", "model.byte_fallback"},
    {"/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix is not supported"},
    {"/model", "null", "model is missing"},
    {"/model/vocab", "[]", "must come after model.vocab"},
    {"/model/merges", "{}", "model.merges must be a list"},
    {"/added_tokens", "{}", "added_tokens must be a list"},
    {"/added_tokens/0/lstrip", "true", "added_tokens[0].lstrip is not supported"},
    {"/added_tokens/1/rstrip", "true", "added_tokens[1].rstrip is not supported"},
    {"/added_tokens/2/single_word", "true", "added_tokens[2].single_word is not supported"},
    {"/added_tokens/0/content", R"("")", "added_tokens[0].content must be a string"},
    {"/added_tokens/0/id", "-1", "added_tokens[0].id must be a whole number"},
    {"/added_tokens/0/id", "1e3", "added_tokens[0].id must be a whole number"},
    {"/added_tokens/0/special", R"("yes")", "added_tokens[0].special must be true or false"},
};

constexpr Change kInconsistent[] = {
    {"/added_tokens/1/content", R"("<|endoftext|>")", "\"<|endoftext|>\" is repeated"},
    {"/added_tokens/1/id", "261", "id 261 of token \"<|user|>\" is already taken"},
    {"/added_tokens/0/content", R"("hello")", "model.vocab says 259"},
    {"/added_tokens/0/id", "2000000000", "outside 0 to 1048575"},
    {"/model/vocab/hello", "258", "model.vocab: id 258 of token \"hello\" is already taken"},
    {"/model/vocab/hello", "-5", "the id of \"hello\" is not a whole number"},
    {"/model/vocab/hello", "2000000", "outside 0 to 1048575"},
    {"/model/vocab/hello", "99999999999", "an id is above 2^31"},
    {"/model/vocab/hello", "[1]", "model.vocab: an id is an array"},
    {"/model/vocab/hello", R"({"a":1})", "an object inside vocab or merges"},
    {"/model/vocab/", "400", "a token is empty"},
    {"/model/merges/0", R"("h q")", "model.merges[0]: token \"hq\" is not in model.vocab"},
    {"/model/merges/1", R"(["l","l","l"])", "model.merges[1]: more than two tokens"},
    {"/model/merges/1", R"(["l"])", "model.merges[1]: fewer than two tokens"},
    {"/model/merges/1", R"("ll")", "model.merges[1]: no space"},
    {"/model/merges/1", "7", "model.merges[1]: neither a string nor a pair"},
    {"/model/merges/1", R"([["l","l"]])", "model.merges[1]: an array inside a pair"},
    {"/model/merges/1", R"("l ")", "model.merges[1]: token \"\" is not in model.vocab"},
};

INSTANTIATE_TEST_SUITE_P(Unsupported, RefusedFile, testing::ValuesIn(kUnsupported));
INSTANTIATE_TEST_SUITE_P(Inconsistent, RefusedFile, testing::ValuesIn(kInconsistent));

TEST(TokenizerFileTest, EveryByteNeedsAnOrdinaryToken) {
  TokenizerFile file = TinyTokenizerFile();
  file["model"]["vocab"].erase("Ċ");
  ExpectRefused(file.dump(), "model.vocab: byte 10");
  file = TinyTokenizerFile();
  file["added_tokens"].push_back({{"id", 'a'}, {"content", "a"}, {"special", true}});
  ExpectRefused(file.dump(), "model.vocab: byte 97");
}

TEST(TokenizerFileTest, MergesMustNotGiveASpecialToken) {
  TokenizerFile file = TinyTokenizerFile();
  file["added_tokens"].push_back({{"id", 259}, {"content", "hello"}, {"special", true}});
  ExpectRefused(file.dump(), "ordinary text would give the special token \"hello\"");
}

TEST(TokenizerFileTest, TablesMustComeInOrderAndOnce) {
  const std::string vocab_first = TinyTokenizerFile().dump();
  TokenizerFile file = TinyTokenizerFile();
  const TokenizerFile vocab = file["model"]["vocab"];
  file["model"].erase("vocab");
  file["model"]["vocab"] = vocab;
  ExpectRefused(file.dump(), "must come after model.vocab");
  std::string twice = vocab_first;
  twice.insert(twice.find("\"hell\""), "\"he\":999,");
  ExpectRefused(twice, "token \"he\" is repeated");
}

TEST(TokenizerFileTest, LimitsHold) {
  const std::string good = TinyTokenizerFile().dump();
  ExpectRefused(good, "has over 100 bytes", {.max_file_bytes = 100});
  ExpectRefused(good, "outside 0 to 199", {.max_vocab_size = 200});
  ExpectRefused(good, "nested deeper than 2", {.max_json_depth = 2});
  ExpectRefused(good, "has over 4 bytes", {.max_token_bytes = 4});
  ExpectRefused("{\"x\":" + std::string(60, '[') + std::string(60, ' '), "nested deeper than 16");
  ExpectRefused("[" + std::string(1000, '1') + "]", "too long");
  ExpectRefused("[\"" + std::string(100'000, 'x') + "\"]", "too long");
  std::string many = "[0";
  for (int i = 0; i < 300'000; ++i) many += ",0";
  ExpectRefused(many + "]", "values outside model.vocab");
}

TEST(TokenizerFileTest, TakesTheFormsOfRealFiles) {
  TokenizerFile file = TinyTokenizerFile();
  file["model"]["merges"] =
      TokenizerFile::parse(R"([["h","e"],["l","l"],["he","ll"],["hell","o"],["Ġ","hello"]])");
  file["model"].erase("type");
  file["model"]["continuing_subword_prefix"] = "";
  file["model"]["unk_token"] = "<|endoftext|>";
  file["post_processor"] = TokenizerFile::parse(
      R"({"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing"}]})");
  const auto tokenizer = LoadContent(file.dump(2));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->Encode(" hello", false).value(), testing::ElementsAre(260));
}

TEST(TokenizerFileTest, EveryTruncationIsRefused) {
  const std::string good = TinyTokenizerFile().dump();
  for (size_t n = 0; n < good.size(); n += 7) {
    ASSERT_FALSE(LoadContent(good.substr(0, n)).ok()) << n;
  }
}

// Whatever the file says, Load and, if it is taken, Encode and Decode come back.
TEST(TokenizerFileTest, MutatedFilesNeverCrash) {
  std::mt19937 rng(11);
  const std::string good = TinyTokenizerFile().dump();
  const std::string pieces[] = {"null",    "[",   "]",     "{",           "}",    "\"",
                                ",",       "-1",  "1e999", "\"Ġ\"",       "\xFF", "\\u0000",
                                "\\ud800", "259", "true",  "\"content\":"};
  int taken = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string file = good;
    for (size_t edits = 1 + rng() % 3; edits > 0; --edits) {
      const size_t at = rng() % file.size();
      switch (rng() % 4) {
        case 0:
          file[at] = static_cast<char>(rng());
          break;
        case 1:
          file.erase(at, 1 + rng() % 20);
          break;
        case 2:
          file.insert(at, pieces[rng() % std::size(pieces)]);
          break;
        default:
          file.insert(at, file.substr(rng() % file.size(), rng() % 200));
      }
    }
    const auto tokenizer = LoadContent(file);
    if (!tokenizer.ok()) continue;
    ++taken;
    const auto ids = (*tokenizer)->Encode("hello <|user|>\n日 12", true);
    if (ids.ok()) (*tokenizer)->Decode(*ids, false);
  }
  EXPECT_GT(taken, 0) << "the mutations are too coarse to reach Encode";
  EXPECT_LT(taken, 2000);
}

}  // namespace
}  // namespace eidetic
