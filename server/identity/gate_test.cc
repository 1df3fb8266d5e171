#include "server/identity/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/identity/token_signer.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using testing::TokenSigner;

const char kKey[] = "eid_ci_secret";
const Caller kCi{"acme", Role::kUser, "key:ci"};

std::string KeysFile(const std::string& key, const std::string& id) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return absl::StrCat(R"({"keys": [{"id": ")", id, R"(", "sha256": ")",
                      absl::BytesToHexString(digest), R"(", "tenant": "acme"}], "certificates":
                      [{"common_name": "gateway", "tenant": "edge", "role": "admin"}]})");
}

class Counts : public IdentityObserver {
 public:
  void OnAuthFailure(const char*) override {}
  void OnFileChanged(const std::string& flag, bool taken) override {
    (taken ? taken_ : refused_) += 1;
  }
  int taken_ = 0, refused_ = 0;
};

class GateTest : public ::testing::Test {
 protected:
  GateTest() : folder_(std::filesystem::path(::testing::TempDir()) / "gate") {
    std::filesystem::create_directories(folder_);
    options_.api_keys = Write("keys.json", KeysFile(kKey, "ci"));
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    std::ofstream(path + ".part") << text;
    std::filesystem::rename(path + ".part", path);
    return path;
  }
  void Open() {
    auto gate = Gate::Create(options_, &counts_);
    ASSERT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
  }
  Verdict Ask(const Credentials& credentials) const {
    return gate_->Identify(credentials, absl::Now());
  }
  std::string Fails(const Credentials& credentials) const {
    const Verdict verdict = Ask(credentials);
    const auto* failure = std::get_if<AuthFailure>(&verdict);
    return failure == nullptr ? "let in" : ReasonOf(*failure);
  }
  static Credentials Bearer(const std::string& what) { return {{"Bearer " + what}, {}, {}}; }

  const std::filesystem::path folder_;
  IdentityOptions options_;
  Counts counts_;
  std::unique_ptr<Gate> gate_;
};

TEST_F(GateTest, KeysComeInEitherHeader) {
  Open();
  EXPECT_EQ(Ask(Bearer(kKey)), Verdict(kCi));
  EXPECT_EQ(Ask({{absl::StrCat("bearer ", kKey)}, {}, {}}), Verdict(kCi));
  EXPECT_EQ(Ask({{}, {kKey}, {}}), Verdict(kCi));
  EXPECT_EQ(Fails({}), "missing");
  EXPECT_EQ(Fails(Bearer("eid_ci_other")), "unknown_key");
  EXPECT_EQ(Fails({{}, {"eid_ci_other"}, {}}), "unknown_key");
  EXPECT_EQ(Fails({{absl::StrCat("Basic ", kKey)}, {}, {}}), "not_taken");
  EXPECT_EQ(Fails({{kKey}, {}, {}}), "not_taken");
  EXPECT_EQ(Fails(Bearer("a.b.c")), "not_taken");  // there is no --jwks
  EXPECT_EQ(Fails({{absl::StrCat("Bearer ", kKey)}, {kKey}, {}}), "ambiguous");
  EXPECT_EQ(Fails({{}, {kKey, kKey}, {}}), "ambiguous");
}

TEST_F(GateTest, ACertificateServesWhereNothingElseIsShown) {
  Open();
  EXPECT_EQ(Ask({{}, {}, "gateway"}), Verdict(Caller{"edge", Role::kAdmin, "certificate:gateway"}));
  EXPECT_EQ(Ask({{}, {kKey}, "gateway"}), Verdict(kCi));
  EXPECT_EQ(Fails({{}, {"eid_ci_other"}, "gateway"}), "unknown_key");
  EXPECT_EQ(Fails({{}, {}, "stranger"}), "unknown_certificate");
}

TEST_F(GateTest, TokensBesideKeys) {
  const TokenSigner signer = TokenSigner::P256("k");
  options_.jwks = Write("jwks.json", testing::KeySet({&signer}));
  options_.jwt_issuer = "me";
  options_.jwt_audience = "eidetic";
  Open();
  const nlohmann::json claims = {{"iss", "me"},
                                 {"aud", "eidetic"},
                                 {"exp", absl::ToUnixSeconds(absl::Now()) + 100},
                                 {"tenant", "acme"},
                                 {"sub", "bob"}};
  EXPECT_EQ(Ask(Bearer(signer.Sign(claims))), Verdict(Caller{"acme", Role::kUser, "token:bob"}));
  EXPECT_EQ(Ask(Bearer(kKey)), Verdict(kCi));
  EXPECT_EQ(Fails({{}, {signer.Sign(claims)}, {}}), "unknown_key");
}

TEST_F(GateTest, AnOpenGateAsksNobody) {
  options_ = {};
  Open();
  const Verdict verdict = Ask(Bearer("whatever"));
  EXPECT_EQ(std::get<Caller>(verdict).role, Role::kAnonymous);
}

TEST_F(GateTest, ChangedFilesAreTakenAndBadOnesAreNot) {
  Open();
  Write("keys.json", KeysFile("eid_new_secret", "new"));
  const auto changed = [&] { return Fails(Bearer(kKey)) == "unknown_key"; };
  for (int i = 0; i < 200 && !changed(); ++i) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_TRUE(changed());
  EXPECT_EQ(Fails(Bearer("eid_new_secret")), "let in");
  gate_.reset();  // ends the thread that counts
  EXPECT_EQ(counts_.taken_, 1);
  EXPECT_EQ(counts_.refused_, 0);

  Open();
  Write("keys.json", KeysFile(kKey, "ci").substr(0, 100));
  absl::SleepFor(absl::Seconds(2.5));
  EXPECT_EQ(Fails(Bearer("eid_new_secret")), "let in");
  gate_.reset();
  EXPECT_EQ(counts_.refused_, 1);
}

TEST_F(GateTest, FilesThatCanNotBeTakenAreNamed) {
  options_.api_keys = Write("bad.json", R"({"keys": [{"id": 7}]})");
  const auto gate = Gate::Create(options_, &counts_);
  EXPECT_EQ(gate.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(gate.status().message()),
              HasSubstr("--api_keys: " + options_.api_keys + ": keys[0].id: must be a string"));
  options_.api_keys = folder_ / "none";
  EXPECT_THAT(std::string(Gate::Create(options_, &counts_).status().message()),
              HasSubstr("--api_keys: " + options_.api_keys + ": No such file"));
  options_ = {};
  options_.tls_certificate = options_.tls_key = Write("pem", "no PEM at all");
  EXPECT_THAT(std::string(Gate::Create(options_, &counts_).status().message()),
              HasSubstr("--tls_certificate holds no certificate"));
}

}  // namespace
}  // namespace eidetic
