// Thirty-two sessions at once against the real server: all that a session can live through, and
// nothing is left behind.
#include <gmock/gmock.h>

#include <latch>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

using ::testing::IsEmpty;

constexpr int kSessions = 32;
constexpr int kLong = 400;  // tokens of an answer that is still running when we come back to it

void ExpectPosition(client::Session& session, int64_t position) {
  ASSERT_TRUE(session.Refresh().ok());
  EXPECT_EQ(session.position(), position);
  EXPECT_FALSE(session.info().busy());
}

class Life {
 public:
  Life(const ServerProcess& server, int number)
      : server_(server),
        client_(client::Client::Connect(server.address())),
        number_(number),
        id_(absl::StrCat("life-", number)) {}

  void Live() {
    auto session = client_.CreateSession({.id = id_});
    ASSERT_TRUE(session.ok()) << session.status();
    EXPECT_EQ(client_.CreateSession({.id = id_}).status().code(), absl::StatusCode::kAlreadyExists);
    Append(*session);
    Answers(*session);
    CancelMidStream(*session);
    BreakAndResume(*session);
    AttachWhileItRuns(*session);
    SecondWriter(*session);
    Delete(*session);
  }

 private:
  client::Session Fork(const client::Session& session) {
    auto fork = session.Fork({.temporary = true});
    EXPECT_TRUE(fork.ok()) << fork.status();
    return *std::move(fork);
  }

  void Append(client::Session& session) {
    const std::string text = Prose(30, number_);
    const auto ids = client_.Tokenize(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    const auto appended = session.Append(text, {.expected_position = 0});
    ASSERT_TRUE(appended.ok()) << appended.status();
    EXPECT_EQ(appended->position, static_cast<int64_t>(ids->size()));
    EXPECT_EQ(appended->computed_position, appended->position);
    const auto more = AppendTokens(server_.channel(), session.name(), *ids, appended->position);
    ASSERT_TRUE(more.ok()) << more.status();
    EXPECT_EQ(*more, 2 * appended->position);

    EXPECT_EQ(session.Append("x", {.expected_position = *more + 1}).status().code(),
              absl::StatusCode::kFailedPrecondition);
    v1::GenerateRequest elsewhere = Greedy("x", 1);
    elsewhere.set_expected_position(*more - 1);
    EXPECT_EQ(Read(session.Generate(elsewhere)).status.code(),
              absl::StatusCode::kFailedPrecondition);
    ExpectPosition(session, *more);
  }

  void Answers(client::Session& session) {
    client::Session fork = Fork(session);
    const int64_t before = session.position();
    EXPECT_EQ(fork.position(), before);
    const Answer of_fork = Read(fork.Generate(Greedy(" Then", 8)));
    ExpectPosition(session, before);
    const Answer own = Read(session.Generate(Greedy(" Then", 8)));
    ASSERT_TRUE(own.finish) << own.status;
    EXPECT_EQ(own.tokens, of_fork.tokens);
    EXPECT_EQ(own.text, of_fork.text);
    EXPECT_EQ(own.finish->finish_reason(), v1::FINISH_REASON_MAX_TOKENS);
    EXPECT_EQ(own.finish->usage().generated_tokens(), 8);
    ExpectPosition(session, before + own.finish->usage().prompt_tokens() + 8);

    client::Session other = Fork(session);
    const Answer drawn = Read(session.Generate(Sampled("", 8, number_)));
    ASSERT_TRUE(drawn.finish) << drawn.status;
    EXPECT_EQ(drawn.tokens, Read(other.Generate(Sampled("", 8, number_))).tokens);
    EXPECT_EQ(drawn.start->seed(), static_cast<uint64_t>(number_));
  }

  void CancelMidStream(client::Session& session) {
    ASSERT_TRUE(session.Refresh().ok());
    const int64_t before = session.position();
    client::TokenStream stream = session.Generate(Greedy("", kLong));
    EXPECT_EQ(Read(stream, 3).tokens.size(), 3u);
    stream.Cancel();
    EXPECT_EQ(Read(stream).status.code(), absl::StatusCode::kCancelled);
    ASSERT_TRUE(WaitUntilFree(session));
    EXPECT_GE(session.position(), before + 3);
    EXPECT_LT(session.position(), before + kLong);
  }

  void BreakAndResume(client::Session& session) {
    client::Session fork = Fork(session);
    const int64_t before = session.position();
    v1::GenerateRequest request = Sampled(" And so", 16, 1000 + number_);
    const Answer whole = Read(fork.Generate(request));
    ASSERT_TRUE(whole.finish) << whole.status;
    request.set_request_id("broken");
    Answer told = Read(session.Generate(request), 4);  // the stream goes with its handle
    ASSERT_EQ(told.tokens.size(), 4u) << told.status;
    request.set_resume_from(4);
    const Answer rest = Read(session.Generate(request));
    ASSERT_TRUE(rest.finish) << rest.status;
    told.tokens.insert(told.tokens.end(), rest.tokens.begin(), rest.tokens.end());
    EXPECT_EQ(told.tokens, whole.tokens);
    EXPECT_EQ(told.text + rest.text, whole.text);
    EXPECT_EQ(rest.finish->usage().SerializeAsString(), whole.finish->usage().SerializeAsString());

    request.set_resume_from(0);
    const Answer again = Read(session.Generate(request));
    ASSERT_TRUE(again.finish) << again.status;
    EXPECT_EQ(again.tokens, whole.tokens);
    EXPECT_EQ(again.text, whole.text);
    request.set_max_tokens(15);
    EXPECT_EQ(Read(session.Generate(request)).status.code(), absl::StatusCode::kInvalidArgument);
    ExpectPosition(session, before + whole.finish->usage().prompt_tokens() + 16);
  }

  void AttachWhileItRuns(client::Session& session) {
    const int64_t before = session.position();
    v1::GenerateRequest request = Greedy("", 12);
    request.set_request_id("attached");
    client::TokenStream first = session.Generate(request);
    Answer one = Read(first, 2);
    const Answer two = Read(session.Generate(request));
    const Answer rest = Read(first);
    one.tokens.insert(one.tokens.end(), rest.tokens.begin(), rest.tokens.end());
    ASSERT_TRUE(two.finish && rest.finish) << two.status << rest.status;
    EXPECT_EQ(one.tokens, two.tokens);
    ExpectPosition(session, before + 12);
  }

  void SecondWriter(client::Session& session) {
    client::TokenStream running = session.Generate(Greedy("", kLong));
    ASSERT_EQ(Read(running, 1).tokens.size(), 1u);
    EXPECT_EQ(Read(session.Generate(Greedy("", 1))).status.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(AppendTokens(server_.channel(), session.name(), {5}).status().code(),
              absl::StatusCode::kAborted);
    EXPECT_EQ(client_.DeleteSession(id_).code(), absl::StatusCode::kAborted);
    ASSERT_TRUE(session.Refresh().ok());
    EXPECT_TRUE(session.info().busy());
    running.Cancel();
    EXPECT_TRUE(WaitUntilFree(session));
  }

  void Delete(client::Session& session) {
    EXPECT_TRUE(session.Delete().ok());
    EXPECT_EQ(session.Refresh().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(Read(session.Generate(Greedy("x", 1))).status.code(), absl::StatusCode::kNotFound);
  }

  const ServerProcess& server_;
  const client::Client client_;
  const int number_;
  const std::string id_;
};

TEST(SessionsTest, ThirtyTwoLivesAtOnceLeaveNothingBehind) {
  ServerProcess server({"--max_pages=8192", "--max_state_slots=256"});
  std::latch all(kSessions);
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] {
      all.arrive_and_wait();
      Life(server, i).Live();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server.health(), 1);
  EXPECT_THAT(server.StillHeld(), IsEmpty());
  EXPECT_EQ(server.Stop(), 0);
}

TEST(SessionsTest, StoppingWhileAStreamRunsIsClean) {
  ServerProcess server({"--shutdown_grace=200ms"});
  const auto client = client::Client::Connect(server.address());
  auto session = client.CreateSession();
  ASSERT_TRUE(session.ok());
  client::TokenStream stream = session->Generate(Greedy("Once", 60000));
  ASSERT_EQ(Read(stream, 2).tokens.size(), 2u);
  EXPECT_EQ(server.Stop(), 0);
  EXPECT_FALSE(Read(stream).status.ok());
}

}  // namespace
}  // namespace eidetic::testing
