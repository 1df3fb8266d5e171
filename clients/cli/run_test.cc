#include "clients/cli/run.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "clients/cli/cli_test_base.h"

namespace eidetic::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

class RunTest : public CliTestBase {};

TEST_F(RunTest, UsageErrorsAreTwo) {
  EXPECT_EQ(RunCli({}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"no-such-command"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"ingest"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"chat", "--policy", "psychic"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"chat", "--policy", "full", "--session", "old"}), ExitCode::kUsage);
  EXPECT_EQ(out_, "");
  EXPECT_NE(err_, "");
}

TEST_F(RunTest, HelpTellsTheExitCodes) {
  EXPECT_EQ(RunCli({"--help"}), ExitCode::kOk);
  EXPECT_THAT(out_, HasSubstr("130 interrupted"));
}

TEST_F(RunTest, ErrorsHaveTheirCodes) {
  EXPECT_EQ(RunCli({"sessions", "get", "nobody"}), ExitCode::kNotFound);
  EXPECT_THAT(err_, HasSubstr("NOT_FOUND"));
  EXPECT_EQ(RunCli({"ingest", "/no/such/file"}), ExitCode::kNotFound);
  EXPECT_EQ(RunCli({"score", "-"}, "\xff"), ExitCode::kRefused);
  server_.faults.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  EXPECT_EQ(RunCli({"ingest", WriteFile("text")}), ExitCode::kExhausted);
  server_.faults.status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "max_tokens: too many");
  EXPECT_EQ(RunCli({"generate", "Once"}), ExitCode::kRefused);
  server_.faults.status = grpc::Status(grpc::StatusCode::INTERNAL, "oops");
  EXPECT_EQ(RunCli({"score", "-"}, "text"), ExitCode::kError);
}

TEST_F(RunTest, AKeyIsMadeWithItsEntry) {
  EXPECT_EQ(RunCli({"keys", "new", "--id", "ci", "--tenant", "acme", "--json"}), ExitCode::kOk);
  const auto made = nlohmann::json::parse(out_);
  EXPECT_THAT(made["key"].get<std::string>(), MatchesRegex("eid_ci_[0-9a-f]{64}"));
  EXPECT_THAT(made["entry"]["sha256"].get<std::string>(), MatchesRegex("[0-9a-f]{64}"));
  EXPECT_EQ(made["entry"]["tenant"], "acme");
  EXPECT_EQ(made["entry"]["role"], "user");
  EXPECT_EQ(RunCli({"keys", "new", "--id", "ci", "--tenant", "acme", "--json"}), ExitCode::kOk);
  EXPECT_NE(nlohmann::json::parse(out_)["key"], made["key"]);
  EXPECT_EQ(RunCli({"keys", "new", "--id", "ci"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"keys", "new", "--id", "a_b", "--tenant", "acme"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"keys", "new", "--id", "a", "--tenant", "b", "--role", "x"}), ExitCode::kUsage);
}

TEST_F(RunTest, FilesOfKeysAndCertificatesAreChecked) {
  EXPECT_EQ(RunCli({"models", "--api-key-file", WriteFile(" eid_ci_secret\n")}), ExitCode::kOk);
  EXPECT_EQ(server_.authorization(), "Bearer eid_ci_secret");
  EXPECT_EQ(RunCli({"models"}), ExitCode::kOk);
  EXPECT_EQ(server_.authorization(), "");
  for (const char* text : {"", "two words", "caf\xc3\xa9"}) {
    EXPECT_EQ(RunCli({"models", "--api-key-file", WriteFile(text)}), ExitCode::kRefused) << text;
  }
  EXPECT_EQ(RunCli({"models", "--api-key-file", "/no/such/file"}), ExitCode::kNotFound);
  EXPECT_EQ(RunCli({"models", "--tls-ca", "/no/such/file"}), ExitCode::kNotFound);
  EXPECT_EQ(RunCli({"models", "--tls-key", WriteFile("key")}), ExitCode::kRefused);
  EXPECT_THAT(err_, HasSubstr("--tls-certificate"));
}

TEST_F(RunTest, AnUnreachableServerIsAnError) {
  std::istringstream in;
  std::ostringstream out, err;
  Streams streams{in, out, err};
  EXPECT_EQ(cli::Run({"--server", "127.0.0.1:1", "models"}, streams, interrupt_), ExitCode::kError);
  EXPECT_THAT(err.str(), HasSubstr("UNAVAILABLE"));
}

TEST_F(RunTest, IngestMakesASessionOrGoesOnWithIt) {
  EXPECT_EQ(RunCli({"ingest", WriteFile("first "), "--session", "book"}), ExitCode::kOk);
  EXPECT_EQ(out_, "tenants/default/sessions/book tokens=6\n");
  EXPECT_EQ(err_, "");
  EXPECT_EQ(RunCli({"ingest", "-", "--session", "book", "--progress", "--json"}, "second"),
            ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["position"], "12");
  EXPECT_THAT(err_, HasSubstr("100%"));
  EXPECT_EQ(server_.TextOf("tenants/default/sessions/book"), "first second");
}

TEST_F(RunTest, GenerateStreamsTextAndResumesABreak) {
  EXPECT_EQ(RunCli({"generate", "Once"}), ExitCode::kOk);
  EXPECT_EQ(out_, "Hello, world.\n");
  RunCli({"ingest", WriteFile("past"), "--session", "s"});
  server_.faults.break_generate_after = 4;
  EXPECT_EQ(RunCli({"generate", "--session", "s"}), ExitCode::kOk);
  EXPECT_EQ(out_, "Hello, world.\n");
}

TEST_F(RunTest, GeneratePassesItsOptionsOn) {
  EXPECT_EQ(RunCli({"generate", "-", "--max-tokens", "7", "--temperature", "0", "--seed", "9",
                    "--stop", "x", "--stop", "y", "--policy", "full"},
                   "typed"),
            ExitCode::kOk);
  const v1::GenerateRequest request = server_.generate_requests().back();
  EXPECT_EQ(request.prompt().text(), "typed");
  EXPECT_EQ(request.max_tokens(), 7);
  EXPECT_EQ(request.sampling().temperature(), 0);
  EXPECT_EQ(request.sampling().seed(), 9u);
  EXPECT_THAT(request.stop_strings(), ElementsAre("x", "y"));
  EXPECT_EQ(request.attention().policy(), v1::ATTENTION_POLICY_FULL);
  EXPECT_FALSE(request.sampling().has_top_p());
}

TEST_F(RunTest, JsonEventsAreOneALine) {
  EXPECT_EQ(RunCli({"--json", "generate", "Once"}), ExitCode::kOk);
  std::istringstream lines(out_);
  std::string line, last;
  int count = 0;
  for (; std::getline(lines, line); ++count) last = line;
  EXPECT_EQ(count, 1 + 13 + 1);
  EXPECT_EQ(nlohmann::json::parse(last)["finish"]["finish_reason"], "FINISH_REASON_STOP_TOKEN");
}

TEST_F(RunTest, ChatAnswersEachLineAndLeavesNothingBehind) {
  server_.answer = [](const std::string& past, v1::AttentionPolicy) {
    return client::testing::FakeServer::Answer{std::to_string(past.size()), {}};
  };
  EXPECT_EQ(RunCli({"chat"}, "hi\n\nagain\n"), ExitCode::kOk);
  EXPECT_EQ(out_, "9\n21\n");
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

TEST_F(RunTest, CtrlCCutsAChatsAnswerOffAndGoesOn) {
  server_.faults.hang_generate = true;
  std::thread user([&] {
    while (server_.generate_requests().empty()) std::this_thread::yield();
    interrupt_.Trigger();
  });
  EXPECT_EQ(RunCli({"chat"}, "hi\nagain\n"), ExitCode::kOk);
  user.join();
  EXPECT_THAT(out_, HasSubstr("Hello, world.\n"));
  EXPECT_TRUE(server_.AwaitCancelledAnswers(1));
}

TEST_F(RunTest, CtrlCEndsGenerate) {
  server_.faults.hang_generate = true;
  std::thread user([&] {
    while (server_.generate_requests().empty()) std::this_thread::yield();
    interrupt_.Trigger();
  });
  EXPECT_EQ(RunCli({"generate", "Once"}), ExitCode::kInterrupted);
  user.join();
}

TEST_F(RunTest, SessionsAreListedForkedAndDeleted) {
  for (const char* id : {"a", "b", "c"}) {
    RunCli({"ingest", WriteFile("past"), "--session", id});
  }
  EXPECT_EQ(RunCli({"sessions", "fork", "a", "--id", "d", "--policy", "window", "--json"}),
            ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["attention"]["policy"], "ATTENTION_POLICY_WINDOW");
  EXPECT_EQ(RunCli({"sessions", "rm", "b"}), ExitCode::kOk);
  EXPECT_EQ(RunCli({"sessions", "rm", "b"}), ExitCode::kNotFound);
  EXPECT_EQ(RunCli({"sessions", "ls", "--json"}), ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["sessions"].size(), 3u);
  EXPECT_EQ(RunCli({"sessions", "ls"}), ExitCode::kOk);
  EXPECT_THAT(out_, HasSubstr("tenants/default/sessions/d  models/fake  -        window"));
}

TEST_F(RunTest, AdaptersAreLoadedUsedAndUnloaded) {
  EXPECT_EQ(RunCli({"adapters", "load", "tone", "--folder", "tone-2"}), ExitCode::kOk);
  EXPECT_THAT(out_, HasSubstr("tenants/default/adapters/tone  tone-2"));
  EXPECT_EQ(RunCli({"sessions", "create", "--id", "a", "--adapter", "tone", "--json"}),
            ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["adapter"], "tenants/default/adapters/tone");
  EXPECT_EQ(RunCli({"generate", "Once", "--adapter", "tone"}), ExitCode::kOk);
  EXPECT_EQ(server_.generate_requests().back().adapter(), "tenants/default/adapters/tone");
  EXPECT_EQ(RunCli({"generate", "Once", "--adapter", "tone", "--session", "a"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"adapters", "ls", "--json"}), ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["adapters"].size(), 1u);
  EXPECT_EQ(RunCli({"adapters", "unload", "tone"}), ExitCode::kOk);
  EXPECT_EQ(RunCli({"adapters", "unload", "tone"}), ExitCode::kNotFound);
}

TEST_F(RunTest, ScoreSearchAndModelsPrintWhatTheServerSays) {
  EXPECT_EQ(RunCli({"score", "-"}, "four"), ExitCode::kOk);
  EXPECT_EQ(out_, "tokens=4 logprob=-6.0000 perplexity=4.4817\n");
  RunCli({"ingest", WriteFile("a needle in hay"), "--session", "s"});
  EXPECT_EQ(RunCli({"memory", "search", "s", "needle"}), ExitCode::kOk);
  EXPECT_THAT(out_, HasSubstr("0.5000  2-8     needle"));
  EXPECT_EQ(RunCli({"models", "--json"}), ExitCode::kOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["models"][0]["name"], "models/fake");
}

}  // namespace
}  // namespace eidetic::cli
