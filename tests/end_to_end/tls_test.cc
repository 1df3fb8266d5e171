// The real server behind TLS: who may connect, as whom, and certificates that change.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "tests/end_to_end/identity_files.h"
#include "tests/end_to_end/server_process.h"
#include "tests/end_to_end/test_certificates.h"

namespace eidetic::testing {
namespace {

using ::testing::HasSubstr;

const TestKey kZeta{"zeta-ci", "zeta", "user"};
constexpr absl::Duration kPatience = absl::Seconds(30);

class TlsTest : public ::testing::Test {
 protected:
  std::vector<std::string> Flags() {
    const PemPair pair = authority_.Issue("server");
    return {"--tls_certificate=" + WriteFile("server.pem", pair.certificate),
            "--tls_key=" + WriteFile("server.key", pair.key),
            "--api_keys=" + WriteFile("tls_keys.json", KeysFile({kZeta}))};
  }
  // Trusts `ca`, and shows `pair` if it has one.
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(const std::string& ca,
                                                            const PemPair& pair = {}) {
    return grpc::SslCredentials({ca, pair.key, pair.certificate});
  }
  // Over a connection of its own: channels of one address and one kind share theirs.
  static absl::Status Ask(const ServerProcess& server, const std::string& credential,
                          const client::TlsOptions& tls, const std::string& tenant) {
    grpc::ChannelArguments alone;
    alone.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const client::Client client(
        grpc::CreateCustomChannel(server.address(), Trusting(tls.ca, {tls.certificate, tls.key}),
                                  alone),
        {.tenant = tenant, .deadline = absl::Seconds(10), .credential = credential});
    return client.ListSessions().status();
  }

  TestAuthority authority_{"Authority"};
};

TEST_F(TlsTest, AKeyTravelsHidden) {
  ServerProcess server(Flags(), {}, Trusting(authority_.pem()));
  EXPECT_TRUE(Ask(server, kZeta.text(), {.ca = authority_.pem()}, "zeta").ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(server, "", {.ca = authority_.pem()}, "zeta")));
  // The client library's own way, a client that trusts another, and one without TLS.
  client::ClientOptions options{.tenant = "zeta", .credential = kZeta.text()};
  options.tls = client::TlsOptions{.ca = authority_.pem()};
  EXPECT_TRUE(client::Client::Connect(server.address(), options).ListSessions().ok());
  const TestAuthority stranger("Stranger");
  EXPECT_TRUE(absl::IsUnavailable(Ask(server, kZeta.text(), {.ca = stranger.pem()}, "zeta")));
  options.tls.reset();
  EXPECT_TRUE(absl::IsUnavailable(
      client::Client::Connect(server.address(), options).ListSessions().status()));
  EXPECT_EQ(server.Stop(), 0);
}

TEST_F(TlsTest, AClientsCertificateTellsItsTenant) {
  std::vector<std::string> flags = Flags();
  flags.push_back("--tls_client_ca=" + WriteFile("client_ca.pem", authority_.pem()));
  const PemPair gateway = authority_.Issue("gateway");
  ServerProcess server(flags, {}, Trusting(authority_.pem(), gateway));
  const auto ask = [&](const PemPair& pair, const char* tenant, const std::string& key = "") {
    return Ask(server, key, {authority_.pem(), pair.certificate, pair.key}, tenant);
  };
  EXPECT_TRUE(ask(gateway, "acme").ok());
  EXPECT_TRUE(absl::IsNotFound(ask(gateway, "zeta")));
  EXPECT_TRUE(ask(gateway, "zeta", kZeta.text()).ok());  // who shows more is that one
  const absl::Status unknown = ask(authority_.Issue("unknown"), "acme");
  EXPECT_TRUE(absl::IsUnauthenticated(unknown));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("certificate"));
  // None at all, and one of that name by somebody else: no connection.
  EXPECT_TRUE(absl::IsUnavailable(ask({}, "acme")));
  TestAuthority stranger("Authority");
  EXPECT_TRUE(absl::IsUnavailable(ask(stranger.Issue("gateway"), "acme")));
  EXPECT_EQ(server.Stop(), 0);
}

TEST_F(TlsTest, ANewCertificateIsServedWithoutARestart) {
  ServerProcess server(Flags(), {}, Trusting(authority_.pem()));
  const TestAuthority old = std::move(authority_);
  TestAuthority next("Next");
  EXPECT_TRUE(absl::IsUnavailable(Ask(server, kZeta.text(), {.ca = next.pem()}, "zeta")));
  const PemPair pair = next.Issue("server");
  WriteFile("server.key", pair.key);
  WriteFile("server.pem", pair.certificate);
  const auto await = [&](absl::StatusCode code) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      if (Ask(server, kZeta.text(), {.ca = next.pem()}, "zeta").code() == code) return true;
      absl::SleepFor(absl::Milliseconds(200));
    }
    return false;
  };
  EXPECT_TRUE(await(absl::StatusCode::kOk));
  // New connections have the new one alone; the one that was open still serves.
  EXPECT_TRUE(absl::IsUnavailable(Ask(server, kZeta.text(), {.ca = old.pem()}, "zeta")));
  EXPECT_EQ(server.health(), 1);

  // One that is no certificate is named in the log, and keeps new connections away until mended.
  WriteFile("server.pem", "garbage");
  const absl::Time end = absl::Now() + kPatience;
  while (server.Log().find("holds no certificate in PEM") == std::string::npos &&
         absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_THAT(server.Log(), HasSubstr("--tls_certificate holds no certificate in PEM"));
  EXPECT_TRUE(await(absl::StatusCode::kUnavailable));
  EXPECT_EQ(server.health(), 1);
  WriteFile("server.pem", pair.certificate);
  EXPECT_TRUE(await(absl::StatusCode::kOk));
  EXPECT_EQ(server.Stop(), 0);
}

TEST_F(TlsTest, AStartThatWouldBeOpenOrHalfIsRefused) {
  const std::vector<std::string> flags = Flags();
  const std::string keys = flags[2];
  const std::string other_key = WriteFile("other.key", authority_.Issue("x").key);
  const std::string bad_keys = WriteFile("bad_keys.json", R"({"keys": [{"id": "a"}]})");
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } cases[] = {
      {{"--address=0.0.0.0:0"}, "--allow_anonymous"},
      {{flags[0]}, "--tls_key: "},
      {{flags[1]}, "--tls_certificate: "},
      {{flags[0], "--tls_key=" + other_key, keys}, "not of one pair"},
      {{flags[0], "--tls_key=/no/such/key"}, "No such file"},
      {{"--api_keys=/no/such/keys"}, "--api_keys: /no/such/keys"},
      {{"--api_keys=" + bad_keys}, "keys[0].sha256: is missing"},
      {{"--jwks=x"}, "--jwt_issuer"},
      {{keys, "--allow_anonymous"}, "--allow_anonymous: contradicts"},
  };
  for (const auto& c : cases) {
    std::vector<std::string> all = {"--model=" + DemoModel().string()};
    all.insert(all.end(), c.flags.begin(), c.flags.end());
    const ServerRun run = RunServerToItsEnd(all, kPatience);
    EXPECT_EQ(run.exit_code, 1) << c.says;
    EXPECT_THAT(run.errors, HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace eidetic::testing
