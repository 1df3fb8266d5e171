#include "server/identity/identity_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(IdentityOptionsTest, WhatOnlyThisMachineReaches) {
  for (const char* address : {"127.0.0.1:50051", "127.255.3.4:0", "localhost:1", "[::1]:50051",
                              "unix:/run/eidetic", "unix-abstract:eidetic"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "128.0.0.1:1", "127.evil.example:1",
        "127.0.0.1.evil.example:1", "localhost.example:1", "127.0.0.1", "", ":50051",
        "127.0.0.1:1,0.0.0.0:1", "ipv4:0.0.0.0:1", "dns:///localhost:1", "[::ffff:0.0.0.0]:1",
        "localhost:x", "127.1:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

std::string Refusal(const IdentityOptions& options, const char* address = "127.0.0.1:1") {
  return std::string(CheckIdentityOptions(options, address).message());
}

TEST(IdentityOptionsTest, NobodyAskedOnlyOnLoopbackOrByFlag) {
  EXPECT_EQ(Refusal({}), "");
  const std::string refusal = Refusal({}, "0.0.0.0:1");
  EXPECT_THAT(refusal, StartsWith("--address: 0.0.0.0:1"));
  for (const char* remedy : {"--api_keys", "--jwks", "--allow_anonymous"}) {
    EXPECT_THAT(refusal, HasSubstr(remedy));
  }
  IdentityOptions options;
  options.allow_anonymous = true;
  EXPECT_EQ(Refusal(options, "0.0.0.0:1"), "");
  options.api_keys = "keys";
  EXPECT_THAT(Refusal(options, "0.0.0.0:1"), StartsWith("--allow_anonymous: contradicts"));
  options.allow_anonymous = false;
  EXPECT_EQ(Refusal(options, "0.0.0.0:1"), "");
  // TLS hides what is said; it does not tell who speaks.
  IdentityOptions tls;
  tls.tls_certificate = tls.tls_key = "pem";
  EXPECT_THAT(Refusal(tls, "0.0.0.0:1"), StartsWith("--address"));
}

TEST(IdentityOptionsTest, FlagsThatBelongTogether) {
  IdentityOptions options;
  options.tls_certificate = "pem";
  EXPECT_THAT(Refusal(options), StartsWith("--tls_key: is empty"));
  options.tls_client_ca = "pem";
  options.tls_key = "pem";
  EXPECT_THAT(Refusal(options), StartsWith("--tls_client_ca: needs --api_keys"));
  options.api_keys = "keys";
  EXPECT_EQ(Refusal(options), "");
  options.tls_certificate = "";
  EXPECT_THAT(Refusal(options), StartsWith("--tls_certificate: is empty"));
  options.tls_key = "";
  EXPECT_THAT(Refusal(options), StartsWith("--tls_client_ca: needs --tls_certificate"));

  IdentityOptions tokens;
  tokens.jwt_issuer = "me";
  EXPECT_THAT(Refusal(tokens), StartsWith("--jwks: is empty"));
  tokens.jwks = "keys";
  EXPECT_THAT(Refusal(tokens), StartsWith("--jwt_audience: is empty"));
  tokens.jwt_issuer = "";
  EXPECT_THAT(Refusal(tokens), StartsWith("--jwt_issuer: is empty"));
  tokens.jwt_issuer = tokens.jwt_audience = "me";
  EXPECT_EQ(Refusal(tokens, "0.0.0.0:1"), "");
}

}  // namespace
}  // namespace eidetic
