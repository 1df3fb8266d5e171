// A server that is too small for what is asked of it: it says so, and goes on.
#include <gmock/gmock.h>

#include "clients/cpp/status_details.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

using ::testing::IsEmpty;

void ExpectExhausted(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(client::RetryDelay(status).has_value()) << status;
}

TEST(ExhaustedTest, PagesRunOutAndTheSessionStaysAsItWas) {
  // Two attention layers, blocks of 32: room for 16 blocks, 512 tokens.
  ServerProcess server({"--max_pages=32"});
  const auto client = client::Client::Connect(server.address());
  auto session = client.CreateSession();
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(session->Append(Prose(50, 1)).ok());
  const int64_t position = session->position();
  const std::vector<int32_t> too_many(2000, 5);

  ExpectExhausted(AppendTokens(server.channel(), session->name(), too_many).status());
  v1::GenerateRequest request = Greedy("", 4);
  request.mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(too_many.begin(),
                                                                    too_many.end());
  ExpectExhausted(Read(session->Generate(request)).status);
  ASSERT_TRUE(WaitUntilFree(*session));
  EXPECT_EQ(session->position(), position);

  const Answer answer = Read(session->Generate(Greedy(" small", 4)));
  EXPECT_TRUE(answer.finish) << answer.status;
  ASSERT_TRUE(session->Refresh().ok());
  const auto appended = AppendTokens(server.channel(), session->name(), {5, 6, 7});
  ASSERT_TRUE(appended.ok()) << appended.status();
  EXPECT_EQ(*appended, session->position() + 3);
  EXPECT_TRUE(session->Delete().ok());
  EXPECT_THAT(server.StillHeld(), IsEmpty());
  EXPECT_EQ(server.Stop(), 0);
}

TEST(ExhaustedTest, AnAnswerThatCouldOutgrowThePagesIsNotBegun) {
  ServerProcess server({"--max_pages=8"});  // 128 tokens
  const auto client = client::Client::Connect(server.address());
  auto session = client.CreateSession({.temporary = true});
  ASSERT_TRUE(session.ok()) << session.status();
  const Answer answer = Read(session->Generate(Greedy("Here", 400)));
  ExpectExhausted(answer.status);
  EXPECT_THAT(answer.tokens, IsEmpty());
  ASSERT_TRUE(WaitUntilFree(*session));
  EXPECT_EQ(session->position(), 0);
  EXPECT_TRUE(Read(session->Generate(Greedy("Here", 100))).finish);
}

TEST(ExhaustedTest, SessionsAndSlotsRunOut) {
  ServerProcess server({"--max_sessions=2", "--max_state_slots=4"});
  const auto client = client::Client::Connect(server.address());
  {
    auto one = client.CreateSession({.temporary = true});
    ASSERT_TRUE(one.ok());
    auto two = one->Fork({.temporary = true});
    ASSERT_TRUE(two.ok());
    ExpectExhausted(client.CreateSession().status());
    ExpectExhausted(one->Fork().status());
    EXPECT_TRUE(Read(one->Generate(Greedy("Here", 2))).finish);
    EXPECT_TRUE(two->Delete().ok());
    EXPECT_TRUE(client.CreateSession({.temporary = true}).ok());
  }
  EXPECT_THAT(server.StillHeld(), IsEmpty());
}

TEST(ExhaustedTest, TheQueueIsBounded) {
  ServerProcess server({"--max_sequences=1", "--max_state_slots=8"});
  const auto client = client::Client::Connect(server.address());
  client::TokenStream running = client.Generate(Greedy("Here", 5000));
  ASSERT_EQ(Read(running, 1).tokens.size(), 1u);
  ExpectExhausted(Read(client.Generate(Greedy("There", 2))).status);
  EXPECT_EQ(Read(running, 1).tokens.size(), 1u) << "the running one is not disturbed";
  running.Cancel();
  EXPECT_THAT(server.StillHeld(), IsEmpty());
  EXPECT_TRUE(Read(client.Generate(Greedy("There", 2))).finish);
}

}  // namespace
}  // namespace eidetic::testing
