#include "server/identity/json_web_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/identity/token_signer.h"

namespace eidetic {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::TokenSigner;

std::string Refusal(const std::string& text) {
  const auto keys = JsonWebKeys::Parse(text);
  return keys.ok() ? "" : std::string(keys.status().message());
}

TEST(JsonWebKeysTest, KeysOfOtherKindsArePassedOver) {
  const TokenSigner mine = TokenSigner::P256("mine");
  json set = json::parse(testing::KeySet({&mine}));
  set["keys"].push_back({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "AA"}, {"kid", "okp"}});
  set["keys"].push_back({{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "secret"}});
  set["keys"].push_back({{"kty", "RSA"}, {"use", "enc"}, {"kid", "enc"}});
  set["keys"].push_back({{"kty", "RSA"}, {"alg", "RS512"}, {"kid", "rs512"}});
  const auto keys = JsonWebKeys::Parse(set.dump());
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_NE(keys->Find("mine"), nullptr);
  for (const char* other : {"okp", "secret", "enc", "rs512", ""}) {
    EXPECT_EQ(keys->Find(other), nullptr) << other;
  }
}

TEST(JsonWebKeysTest, BadKeysAreRefusedByPlace) {
  const json good = TokenSigner::P256("k").Jwk();
  const json rsa = TokenSigner::Rsa("r").Jwk();
  const auto with = [](json key, const char* name, const json& value) {
    key[name] = value;
    if (value.is_null()) key.erase(name);
    return json{{"keys", {key}}}.dump();
  };
  EXPECT_THAT(Refusal(with(good, "kid", json())), HasSubstr("keys[0].kid: is missing"));
  EXPECT_THAT(Refusal(with(good, "kty", 7)), HasSubstr("keys[0].kty: must be a string"));
  EXPECT_THAT(Refusal(with(good, "x", "AAAA")), HasSubstr("keys[0].x: and y must have 32 bytes"));
  EXPECT_THAT(Refusal(with(good, "x", "!")), HasSubstr("keys[0].x: must be base64url"));
  EXPECT_THAT(Refusal(with(good, "d", "AAAA")), HasSubstr("keys[0].d: is a private key"));
  EXPECT_THAT(Refusal(with(good, "x", testing::Base64Url(std::string(32, '\1')))),
              HasSubstr("no point of P-256"));
  EXPECT_THAT(Refusal(with(rsa, "n", testing::Base64Url(std::string(128, '\xff')))),
              HasSubstr("keys[0].n: must have from 2048"));
  EXPECT_THAT(Refusal(with(rsa, "e", "AQ")), HasSubstr("keys[0].e"));
  EXPECT_THAT(Refusal(with(rsa, "e", testing::Base64Url(std::string(5, '\xff')))),
              HasSubstr("keys[0].e"));
  EXPECT_THAT(Refusal(json{{"keys", {good, good}}}.dump()),
              HasSubstr("keys[1].kid: is given twice"));
}

TEST(JsonWebKeysTest, SetsWithoutAKeyAreRefused) {
  for (const char* text : {"{}", "{\"keys\": []}", "{\"keys\": [{\"kty\": \"oct\"}]}"}) {
    EXPECT_THAT(Refusal(text), HasSubstr("keys: has no RSA key")) << text;
  }
  EXPECT_THAT(Refusal(""), HasSubstr("line 1"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(Refusal("{\"keys\": {}}"), HasSubstr("keys: must be an array"));
  EXPECT_THAT(Refusal("{\"keys\": [7]}"), HasSubstr("keys[0]: must be a JSON object"));
}

TEST(Base64UrlTest, OneSpellingOnly) {
  EXPECT_EQ(DecodeBase64Url("_-8"), "\xff\xef");
  EXPECT_EQ(DecodeBase64Url(""), "");
  // Padding, the other alphabet, stray bits, a blank, a length that no bytes have.
  for (const char* text : {"_-8=", "/+8", "_-9", " _-8", "_-8\n", "A"}) {
    EXPECT_EQ(DecodeBase64Url(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace eidetic
