// What sessions survive: orderly ends of the server, hasty ones, and the way to another server.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

std::string NewFolder() {
  static int count = 0;
  const char* temporary = std::getenv("TEST_TMPDIR");
  EXPECT_NE(temporary, nullptr);
  return absl::StrCat(temporary, "/data", ++count);
}

client::Session Open(const ServerProcess& server, const std::string& id) {
  auto session = client::Client(server.channel()).OpenSession(id);
  EXPECT_TRUE(session.ok()) << session.status();
  return *std::move(session);
}

client::Session MakeSession(const ServerProcess& server, const std::string& id) {
  v1::AttentionSettings attention;
  attention.set_window_tokens(64);
  attention.set_span_blocks(4);
  auto session = client::Client(server.channel()).CreateSession({.id = id, .attention = attention});
  EXPECT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(session->Append(Prose(400, 3)).ok());
  return *std::move(session);
}

// Greedy, then sampled.
std::vector<std::vector<int32_t>> Converse(const client::Session& session) {
  std::vector<std::vector<int32_t>> answers;
  for (const v1::GenerateRequest& request :
       {Greedy("Who came?", 12), Sampled("And then?", 12, 77)}) {
    const Answer answer = Read(session.Generate(request));
    EXPECT_TRUE(answer.finish) << answer.status;
    answers.push_back(answer.tokens);
  }
  return answers;
}

TEST(DurableSessionsTest, AnExportGoesOnInAnotherServerWithTheSameTokens) {
  std::stringstream bytes;
  std::vector<std::vector<int32_t>> expected;
  {
    ServerProcess server;
    const client::Session session = MakeSession(server, "a");
    Converse(session);
    ASSERT_TRUE(session.Export(bytes).ok());
    expected = Converse(session);
  }
  ServerProcess other({"--data_folder=" + NewFolder()});
  auto imported = client::Client(other.channel()).ImportSession(bytes, "b");
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->info().attention().span_blocks(), 4);
  ASSERT_TRUE(imported->Warm().ok());
  ASSERT_TRUE(imported->Refresh().ok());
  EXPECT_EQ(imported->info().computed_position(), imported->position());
  EXPECT_EQ(Converse(*imported), expected);
}

TEST(DurableSessionsTest, AnExportOfAnotherGeometryIsRefused) {
  std::stringstream bytes;
  {
    ServerProcess server({"--query_chunk_tokens=256"});
    ASSERT_TRUE(MakeSession(server, "a").Export(bytes).ok());
  }
  ServerProcess other({"--max_import_bytes=100000"});
  const client::Client client(other.channel());
  EXPECT_EQ(client.ImportSession(bytes, "b").status().code(),
            absl::StatusCode::kFailedPrecondition);
  std::stringstream large(std::string(200000, 'x'));
  EXPECT_EQ(client.ImportSession(large, "b").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(client.OpenSession("b").status().code(), absl::StatusCode::kNotFound);
}

TEST(DurableSessionsTest, SnapshotsAndRewindsSurviveAKill) {
  const std::string data = "--data_folder=" + NewFolder();
  std::vector<std::vector<int32_t>> expected;
  int64_t position = 0;
  {
    ServerProcess server({data});
    client::Session session = MakeSession(server, "a");
    ASSERT_TRUE(session.Refresh().ok());
    position = session.position();
    ASSERT_TRUE(session.TakeSnapshot("here").ok());
    expected = Converse(session);
    ASSERT_TRUE(session.Rewind(17).ok());
    server.Kill();
  }
  ServerProcess server({data});
  client::Session session = Open(server, "a");
  EXPECT_EQ(session.position(), 17);
  EXPECT_EQ(session.info().tier(), v1::SESSION_TIER_DISK);
  ASSERT_TRUE(session.Restore("here", 17).ok());
  EXPECT_EQ(session.position(), position);
  EXPECT_EQ(Converse(session), expected);
}

// A stream that is shorter than the grace ends as if nothing had happened; nothing new begins.
TEST(DurableSessionsTest, AnOrderlyEndLetsStreamsFinishAndKeepsEverything) {
  const std::string data = "--data_folder=" + NewFolder();
  Answer answer;
  {
    ServerProcess server({data, "--shutdown_grace=30s"});
    const client::Session session = MakeSession(server, "a");
    client::TokenStream stream = session.Generate(Greedy("Tell all.", 150));
    answer = Read(stream, 3);
    ASSERT_EQ(answer.tokens.size(), 3u) << answer.status;
    server.Signal(SIGTERM);
    absl::SleepFor(absl::Milliseconds(50));
    EXPECT_NE(server.health(), 1);
    const Answer rest = Read(stream);
    ASSERT_TRUE(rest.finish) << rest.status;
    answer.tokens.insert(answer.tokens.end(), rest.tokens.begin(), rest.tokens.end());
    answer.finish = rest.finish;
    EXPECT_EQ(server.AwaitEnd(), 0);
  }
  EXPECT_EQ(answer.tokens.size(), 150u);
  ServerProcess server({data});
  EXPECT_EQ(Open(server, "a").position(), answer.finish->position());
}

TEST(DurableSessionsTest, WhatIsLongerThanTheGraceIsCutAndNothingToldIsLost) {
  const std::string data = "--data_folder=" + NewFolder();
  Answer answer;
  {
    ServerProcess server({data, "--shutdown_grace=300ms"});
    client::Session session = MakeSession(server, "a");
    client::TokenStream stream = session.Generate(Greedy("Tell all.", 50000));
    answer = Read(stream, 3);
    server.Signal(SIGTERM);
    const Answer rest = Read(stream);
    EXPECT_FALSE(rest.finish);
    answer.tokens.insert(answer.tokens.end(), rest.tokens.begin(), rest.tokens.end());
    EXPECT_EQ(server.AwaitEnd(), 0);
  }
  ServerProcess server({data});
  EXPECT_GE(Open(server, "a").position(),
            answer.start->position() + static_cast<int64_t>(answer.tokens.size()));
}

TEST(DurableSessionsTest, ASecondSignalLeavesAtOnceAndNothingToldIsLost) {
  const std::string data = "--data_folder=" + NewFolder();
  Answer answer;
  {
    ServerProcess server({data, "--shutdown_grace=10m"});
    client::Session session = MakeSession(server, "a");
    client::TokenStream stream = session.Generate(Greedy("Tell all.", 50000));
    answer = Read(stream, 5);
    server.Signal(SIGTERM);
    absl::SleepFor(absl::Milliseconds(100));
    const absl::Time second = absl::Now();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.AwaitEnd(), 128 + SIGTERM);
    EXPECT_LT(absl::Now() - second, absl::Seconds(10));
    const Answer rest = Read(stream);
    answer.tokens.insert(answer.tokens.end(), rest.tokens.begin(), rest.tokens.end());
  }
  ServerProcess server({data});
  EXPECT_GE(Open(server, "a").position(),
            answer.start->position() + static_cast<int64_t>(answer.tokens.size()));
}

}  // namespace
}  // namespace eidetic::testing
