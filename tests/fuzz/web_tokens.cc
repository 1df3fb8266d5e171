// Key sets (JWKS) and tokens (JWT). An input is taken as a key set; as a token of a known set; and,
// where it is JSON, as the claims of a token that is signed well: what stands behind the
// signature is reached.
#include <glog/logging.h>

#include <nlohmann/json.hpp>

#include "server/identity/json_web_keys.h"
#include "server/identity/json_web_token.h"
#include "server/identity/token_signer.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {
namespace {

constexpr int64_t kNow = 1'800'000'000;

const testing::TokenSigner& Signer() {
  static const testing::TokenSigner signer = testing::TokenSigner::P256("ec-1");
  return signer;
}

Verdict Check(std::string_view token) {
  static const auto keys = JsonWebKeys::Parse(testing::KeySet({&Signer()}));
  CHECK(keys.ok()) << keys.status();
  return CheckToken(token, *keys, {"https://issuer.example", "eidetic"},
                    absl::FromUnixSeconds(kNow));
}

nlohmann::json Claims() {
  return {{"iss", "https://issuer.example"},
          {"aud", "eidetic"},
          {"exp", kNow + 300},
          {"nbf", kNow - 5},
          {"tenant", "acme"},
          {"sub", "alice"},
          {"role", "admin"}};
}

}  // namespace

void TryClaims(std::string_view text) {
  // Deep nesting would be the generator's trouble, not the parser's.
  if (text.size() > kMaxTokenBytes) return;
  const auto claims = nlohmann::json::parse(text, nullptr, false);
  if (claims.is_discarded()) return;
  std::string token;
  try {
    token = Signer().Sign(claims);
  } catch (const nlohmann::json::exception&) {  // text that is not UTF-8
    return;
  }
  const Verdict verdict = Check(token);
  if (const auto* caller = std::get_if<Caller>(&verdict)) {
    CHECK(claims.is_object() && claims["tenant"] == caller->tenant);
    CHECK(caller->role != Role::kAdmin || claims["role"] == "admin");
  }
}

void TryToken(std::string_view text) {
  // Nobody but the signer, whose key is new in each process, makes a token that is let in.
  const Verdict verdict = Check(text);
  CHECK(std::holds_alternative<AuthFailure>(verdict));
}

std::vector<std::string> Seeds() {
  const testing::TokenSigner rsa = testing::TokenSigner::Rsa("rsa-1");
  const nlohmann::json none = {{"alg", "none"}, {"kid", "ec-1"}};
  const std::string header = testing::Base64Url(R"({"alg":"ES256","kid":"ec-1"})");
  const std::string claims = testing::Base64Url(Claims().dump());
  return {testing::KeySet({&rsa, &Signer()}), Claims().dump(), rsa.Sign(Claims()),
          header + "." + claims + "." + testing::Base64Url(std::string(64, '\1')),
          testing::Base64Url(none.dump()) + "." + claims + "."};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = eidetic::fuzz::View(data, size);
  (void)eidetic::JsonWebKeys::Parse(text);
  eidetic::fuzz::TryToken(text);
  eidetic::fuzz::TryClaims(text);
  return 0;
}
