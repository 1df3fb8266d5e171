#include "server/identity/json_web_token.h"

#include <gtest/gtest.h>
#include <openssl/hmac.h>

#include <nlohmann/json.hpp>

#include "server/identity/token_signer.h"

namespace eidetic {
namespace {

using nlohmann::json;
using testing::Base64Url;
using testing::KeySet;
using testing::TokenSigner;

constexpr int64_t kNow = 1'800'000'000;

class JsonWebTokenTest : public ::testing::Test {
 protected:
  JsonWebTokenTest() {
    auto keys = JsonWebKeys::Parse(KeySet({&rsa_, &p256_}));
    EXPECT_TRUE(keys.ok()) << keys.status();
    keys_ = *std::move(keys);
  }

  static json Claims() {
    return {{"iss", "https://issuer.example"},
            {"aud", "eidetic"},
            {"exp", kNow + 300},
            {"tenant", "acme"},
            {"sub", "alice"}};
  }
  // Claims with one changed; null takes it out.
  static json With(const char* name, const json& value) {
    json claims = Claims();
    claims[name] = value;
    if (value.is_null()) claims.erase(name);
    return claims;
  }

  Verdict Check(const std::string& token, int64_t now = kNow) const {
    return CheckToken(token, keys_, {"https://issuer.example", "eidetic"},
                      absl::FromUnixSeconds(now));
  }
  std::string Fails(const std::string& token, int64_t now = kNow) const {
    const Verdict verdict = Check(token, now);
    const auto* failure = std::get_if<AuthFailure>(&verdict);
    return failure == nullptr ? "let in" : ReasonOf(*failure);
  }

  // Making an RSA key takes longest of all.
  static inline const TokenSigner rsa_ = TokenSigner::Rsa("rsa-1");
  const TokenSigner p256_ = TokenSigner::P256("ec-1");
  JsonWebKeys keys_;
};

TEST_F(JsonWebTokenTest, LetsInTheCallerThatItsIssuerNames) {
  const Caller alice{"acme", Role::kUser, "token:alice"};
  for (const TokenSigner* signer : {&rsa_, &p256_}) {
    EXPECT_EQ(Check(signer->Sign(Claims())), Verdict(alice));
    EXPECT_EQ(Check(signer->Sign(With("role", "user"))), Verdict(alice));
    const Caller admin{"acme", Role::kAdmin, "token:alice"};
    EXPECT_EQ(Check(signer->Sign(With("role", "admin"))), Verdict(admin));
    EXPECT_EQ(Check(signer->Sign(With("aud", json{"other", "eidetic"}))), Verdict(alice));
  }
}

TEST_F(JsonWebTokenTest, TimesHaveALeeway) {
  const int64_t leeway = absl::ToInt64Seconds(kClockLeeway);
  const std::string token = p256_.Sign(With("nbf", kNow));
  EXPECT_EQ(Fails(token, kNow + 300 + leeway - 1), "let in");
  EXPECT_EQ(Fails(token, kNow + 300 + leeway), "token_expired");
  EXPECT_EQ(Fails(token, kNow - leeway), "let in");
  EXPECT_EQ(Fails(token, kNow - leeway - 1), "token_not_yet_valid");
}

TEST_F(JsonWebTokenTest, ATokenWithoutAnEndIsRefused) {
  for (const json& exp : {json(), json("2100-01-01"), json(-1e300), json(true), json{kNow + 300}}) {
    EXPECT_EQ(Fails(p256_.Sign(With("exp", exp))), "token_expired") << exp;
  }
  EXPECT_EQ(Fails(p256_.Sign(With("nbf", "tomorrow"))), "token_not_yet_valid");
}

TEST_F(JsonWebTokenTest, TokensForOthersAreRefused) {
  for (const json& iss : {json(), json("https://issuer.example/"), json(""), json(7)}) {
    EXPECT_EQ(Fails(p256_.Sign(With("iss", iss))), "token_issuer") << iss;
  }
  for (const json& aud : {json(), json("Eidetic"), json::array(), json{"a", "b"}, json(0),
                          json({{"eidetic", true}})}) {
    EXPECT_EQ(Fails(p256_.Sign(With("aud", aud))), "token_audience") << aud;
  }
}

TEST_F(JsonWebTokenTest, ClaimsThatMakeNoCaller) {
  for (const json& tenant : {json(), json(""), json("Acme"), json("a/../b"), json("-"), json(1),
                             json(std::string(64, 'a'))}) {
    EXPECT_EQ(Fails(p256_.Sign(With("tenant", tenant))), "token_claims") << tenant;
  }
  for (const json& role : {json("root"), json("Admin"), json(true), json{"admin"}}) {
    EXPECT_EQ(Fails(p256_.Sign(With("role", role))), "token_claims") << role;
  }
  for (const std::string& sub : {std::string(129, 'x'), std::string("a\nb"), std::string("\x7f")}) {
    EXPECT_EQ(Fails(p256_.Sign(With("sub", sub))), "token_claims") << sub;
  }
}

TEST_F(JsonWebTokenTest, NoOtherAlgorithmThanTheKeys) {
  const std::string claims = Base64Url(Claims().dump());
  const auto head = [](const std::string& alg, const std::string& kid) {
    return Base64Url(json{{"alg", alg}, {"kid", kid}}.dump());
  };
  for (const char* alg : {"none", "None", "", "HS256", "RS512", "PS256", "ES256", "rs256"}) {
    EXPECT_EQ(Fails(head(alg, "rsa-1") + "." + claims + "."), "token_key") << alg;
    EXPECT_EQ(Fails(rsa_.Sign({{"alg", alg}, {"kid", "rsa-1"}}, Claims())), "token_key") << alg;
  }
  // The public key, which everyone knows, as the secret of an HMAC.
  const std::string signed_bytes = head("HS256", "rsa-1") + "." + claims;
  const std::string secret = rsa_.PublicPem();
  std::string mac(32, '\0');
  unsigned size = 32;
  HMAC(EVP_sha256(), secret.data(), int(secret.size()),
       reinterpret_cast<const unsigned char*>(signed_bytes.data()), signed_bytes.size(),
       reinterpret_cast<unsigned char*>(mac.data()), &size);
  EXPECT_EQ(Fails(signed_bytes + "." + Base64Url(mac)), "token_key");
  EXPECT_EQ(Fails(rsa_.Sign({{"alg", "RS256"}}, Claims())), "token_key");
  EXPECT_EQ(Fails(rsa_.Sign({{"alg", "RS256"}, {"kid", "unknown"}}, Claims())), "token_key");
  EXPECT_EQ(Fails(rsa_.Sign({{"alg", "RS256"}, {"kid", {"rsa-1"}}}, Claims())), "token_key");
}

TEST_F(JsonWebTokenTest, ASignatureThatIsNotTheKeys) {
  const TokenSigner thief = TokenSigner::P256("ec-1");
  EXPECT_EQ(Fails(thief.Sign(Claims())), "token_signature");
  for (const TokenSigner* signer : {&rsa_, &p256_}) {
    const std::string token = signer->Sign(Claims());
    const size_t dot = token.rfind('.');
    const std::string other = signer->Sign(With("tenant", "other"));
    // Another's claims under this signature, no signature, half of it, and one of zeros.
    EXPECT_EQ(Fails(other.substr(0, other.rfind('.')) + token.substr(dot)), "token_signature");
    EXPECT_EQ(Fails(token.substr(0, dot + 1)), "token_signature");
    EXPECT_EQ(Fails(token.substr(0, dot + 1 + 40)), "token_signature");
    for (const size_t size : {size_t{1}, size_t{64}, size_t{256}}) {
      EXPECT_EQ(Fails(token.substr(0, dot + 1) + Base64Url(std::string(size, '\0'))),
                "token_signature");
    }
  }
}

TEST_F(JsonWebTokenTest, EveryChangedCharacterIsNoticed) {
  const std::string token = p256_.Sign(Claims());
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(Fails(changed), "let in") << i;
  }
}

TEST_F(JsonWebTokenTest, WhatIsNoToken) {
  const std::string token = p256_.Sign(Claims());
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".."), std::string("..."), token + ".",
        token + "=", token + " ", token.substr(0, token.rfind('.')), std::string("a.b.c"),
        std::string("\0.\xff.\n", 5), std::string(1 << 20, 'A'), std::string(1 << 20, '.'),
        Base64Url("[]") + "." + Base64Url("{}") + ".AAAA",
        Base64Url("{\"alg\":") + "." + Base64Url("{}") + ".AAAA",
        Base64Url("{\"alg\":\"none\",\"alg\":\"ES256\"}") + ".e30.AAAA"}) {
    EXPECT_EQ(Fails(text), "token_malformed") << text.substr(0, 80);
  }
  EXPECT_EQ(Fails(p256_.Sign({{"alg", "ES256"}, {"kid", "ec-1"}, {"crit", {"b64"}}}, Claims())),
            "token_malformed");
  EXPECT_EQ(Fails(p256_.Sign(json::array({1, 2}))), "token_malformed");
  // Large, but whole and signed.
  EXPECT_EQ(Fails(p256_.Sign(With("padding", std::string(kMaxTokenBytes, 'x')))),
            "token_malformed");
}

}  // namespace
}  // namespace eidetic
