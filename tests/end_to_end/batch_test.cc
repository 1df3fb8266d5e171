// What one session gets does not depend on the others: not its tokens, and not whether it is
// served at all.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

using ::testing::IsEmpty;

constexpr int kOthers = 31;
constexpr int kTokens = 20;

// Ends and joins its threads in any case.
class Crowd {
 public:
  explicit Crowd(const ServerProcess& server) {
    for (int i = 0; i < kOthers; ++i) threads_.emplace_back([&, i] { Talk(server.address(), i); });
  }
  ~Crowd() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  // Waits until each of them is being answered.
  void WaitUntilAllTalk() const {
    for (int talking; (talking = talking_) < kOthers;) talking_.wait(talking);
  }

 private:
  void Talk(const std::string& address, int number) {
    const auto client = client::Client::Connect(address);
    for (bool first = true; !stop_; first = false) {
      auto session = client.CreateSession({.temporary = true});
      ASSERT_TRUE(session.ok()) << session.status();
      client::TokenStream stream =
          session->Generate(Sampled(Prose(20 + number, number), 500, number));
      EXPECT_EQ(Read(stream, 1).tokens.size(), 1u);
      if (first) {
        ++talking_;
        talking_.notify_all();
      }
      while (!stop_ && Read(stream, 1).tokens.size() == 1) {
      }
      stream.Cancel();
      EXPECT_TRUE(WaitUntilFree(*session));
    }
  }

  std::atomic<bool> stop_ = false;
  std::atomic<int> talking_ = 0;
  std::vector<std::thread> threads_;
};

// A session whose window is small, so that it retrieves, and what it answers on forks.
class Speaker {
 public:
  explicit Speaker(const client::Client& client) {
    v1::AttentionSettings attention;
    attention.set_window_tokens(64);
    attention.set_span_blocks(4);
    auto session = client.CreateSession({.attention = attention, .temporary = true});
    EXPECT_TRUE(session.ok()) << session.status();
    session_ = std::make_unique<client::Session>(*std::move(session));
    EXPECT_TRUE(session_->Append(Prose(400, 77)).ok());
  }

  Answer Say(v1::GenerateRequest request) {
    auto fork = session_->Fork({.temporary = true});
    EXPECT_TRUE(fork.ok()) << fork.status();
    request.set_logprobs(0);
    request.set_return_token_blocks(true);
    const Answer answer = Read(fork->Generate(request));
    EXPECT_EQ(answer.tokens.size(), static_cast<size_t>(kTokens)) << answer.status;
    EXPECT_EQ(answer.logprobs.size(), static_cast<size_t>(kTokens));
    return answer;
  }

 private:
  std::unique_ptr<client::Session> session_;
};

void ExpectSame(const Answer& alone, const Answer& among) {
  EXPECT_EQ(alone.tokens, among.tokens);
  EXPECT_EQ(alone.logprobs, among.logprobs) << "to the bit";
  EXPECT_EQ(alone.text, among.text);
}

TEST(BatchTest, TheTokensAreThoseOfRunningAlone) {
  ServerProcess server({"--max_pages=16384", "--max_state_slots=256"});
  {
    const auto client = client::Client::Connect(server.address());
    Speaker alone(client);
    const v1::GenerateRequest greedy = Greedy(" In the end", kTokens);
    const v1::GenerateRequest sampled = Sampled(" In the end", kTokens, 4242);
    const Answer greedy_alone = alone.Say(greedy);
    const Answer sampled_alone = alone.Say(sampled);
    EXPECT_NE(greedy_alone.tokens, sampled_alone.tokens);

    const Crowd crowd(server);
    crowd.WaitUntilAllTalk();
    ExpectSame(greedy_alone, alone.Say(greedy));
    ExpectSame(sampled_alone, alone.Say(sampled));
    // Its past too, when that is computed in the crowd.
    Speaker among(client);
    ExpectSame(greedy_alone, among.Say(greedy));
    ExpectSame(sampled_alone, among.Say(sampled));
  }
  EXPECT_THAT(server.StillHeld(), IsEmpty());
  EXPECT_EQ(server.Stop(), 0);
}

TEST(BatchTest, ALongPromptDoesNotStallAStream) {
  ServerProcess server({"--max_pages=16384"});
  const auto client = client::Client::Connect(server.address());
  auto reader = client.CreateSession({.temporary = true});
  auto writer = client.CreateSession({.temporary = true});
  ASSERT_TRUE(reader.ok() && writer.ok());
  client::TokenStream stream = reader->Generate(Greedy("Once upon a time", 60000));
  ASSERT_EQ(Read(stream, 1).tokens.size(), 1u);

  std::atomic<bool> appended = false;
  absl::StatusOr<client::AppendProgress> progress;
  std::thread append([&] {
    progress = writer->Append(Prose(17000, 5));
    appended = true;
  });
  int meanwhile = 0;
  while (!appended && Read(stream, 1).tokens.size() == 1) ++meanwhile;
  append.join();
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_GT(progress->position, 18000);
  EXPECT_EQ(progress->computed_position, progress->position);
  // It takes as many steps as there are chunks of 512; each gives the stream its token.
  EXPECT_GE(meanwhile, 10);
  EXPECT_EQ(Read(stream, 1).tokens.size(), 1u) << "and it goes on";
}

}  // namespace
}  // namespace eidetic::testing
