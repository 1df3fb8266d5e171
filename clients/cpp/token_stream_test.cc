#include "clients/cpp/token_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "clients/cpp/client.h"
#include "clients/cpp/testing/fake_server.h"

namespace eidetic::client {
namespace {

class TokenStreamTest : public ::testing::Test {
 protected:
  // Reads to the end or the break; gathers text and counts starts and finishes.
  absl::Status Drain(TokenStream& stream) {
    while (true) {
      auto event = stream.Next();
      if (!event.ok()) return event.status();
      if (!event->has_value()) return absl::OkStatus();
      if ((*event)->has_start()) ++starts_;
      if ((*event)->has_delta()) text_ += (*event)->delta().text();
      if ((*event)->has_finish()) ++finishes_;
    }
  }

  testing::FakeServer server_;
  Client client_ = Client::Connect(server_.address());
  Session session_ = *client_.CreateSession({.id = "talk"});
  std::string text_;
  int starts_ = 0, finishes_ = 0;
};

TEST_F(TokenStreamTest, GivesEveryEventThenNothing) {
  TokenStream stream = session_.Generate({});
  EXPECT_TRUE(Drain(stream).ok());
  EXPECT_EQ(text_, "Hello, world.");
  EXPECT_EQ(starts_, 1);
  EXPECT_EQ(finishes_, 1);
  EXPECT_FALSE(stream.Next()->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(stream.Resume()));
}

TEST_F(TokenStreamTest, ResumesWhereItBroke) {
  for (int broken_after : {0, 1, 5, 12}) {
    text_.clear();
    starts_ = finishes_ = 0;
    server_.faults.break_generate_after = broken_after;
    TokenStream stream = session_.Generate({});
    EXPECT_TRUE(absl::IsUnavailable(Drain(stream)));
    EXPECT_EQ(stream.last_sequence_number(), broken_after);
    EXPECT_TRUE(absl::IsUnavailable(stream.Next().status()));
    ASSERT_TRUE(stream.Resume().ok());
    EXPECT_TRUE(Drain(stream).ok());
    EXPECT_EQ(text_, "Hello, world.");
    EXPECT_EQ(starts_, 1);
    EXPECT_EQ(finishes_, 1);
    EXPECT_EQ(server_.generate_requests().back().resume_from(), broken_after);
  }
}

TEST_F(TokenStreamTest, GivesTokensThatCameTogetherOneByOne) {
  server_.message_tokens = 5;
  TokenStream stream = session_.Generate({});
  ASSERT_TRUE((*stream.Next())->has_start());
  for (int i = 1; i <= 13; ++i) {
    const auto event = stream.Next();
    ASSERT_TRUE(event.ok() && event->has_value() && (*event)->has_delta());
    EXPECT_EQ((*event)->delta().sequence_number(), i);
    EXPECT_EQ(stream.last_sequence_number(), i);
  }
  EXPECT_TRUE(Drain(stream).ok());
  EXPECT_EQ(stream.messages(), 5);  // start, 5 + 5 + 3 tokens, finish
  EXPECT_EQ(finishes_, 1);
}

TEST_F(TokenStreamTest, ResumesAfterTokensThatCameTogether) {
  server_.message_tokens = 5;
  server_.faults.break_generate_after = 7;
  TokenStream stream = session_.Generate({});
  EXPECT_TRUE(absl::IsUnavailable(Drain(stream)));
  EXPECT_EQ(text_, "Hello, ");
  ASSERT_TRUE(stream.Resume().ok());
  EXPECT_TRUE(Drain(stream).ok());
  EXPECT_EQ(text_, "Hello, world.");
  EXPECT_EQ(server_.generate_requests().back().resume_from(), 7);
}

TEST_F(TokenStreamTest, ARequestMayWantAMessageAToken) {
  server_.message_tokens = 5;
  v1::GenerateRequest request;
  request.set_max_message_tokens(1);
  TokenStream stream = session_.Generate(request);
  EXPECT_TRUE(Drain(stream).ok());
  EXPECT_EQ(text_, "Hello, world.");
  EXPECT_EQ(stream.messages(), 15);
}

TEST_F(TokenStreamTest, CanNotResumeWithoutARequestId) {
  server_.faults.break_generate_after = 2;
  TokenStream stream = client_.Generate({});
  EXPECT_TRUE(absl::IsUnavailable(Drain(stream)));
  EXPECT_TRUE(absl::IsFailedPrecondition(stream.Resume()));
}

TEST_F(TokenStreamTest, CancelFromAnotherThreadEndsAWaitingNext) {
  server_.faults.hang_generate = true;
  TokenStream stream = session_.Generate({});
  ASSERT_TRUE((*stream.Next())->has_start());
  ASSERT_TRUE((*stream.Next())->has_delta());
  std::thread canceller([&] { stream.Cancel(); });
  EXPECT_TRUE(absl::IsCancelled(Drain(stream)));
  canceller.join();
  EXPECT_TRUE(absl::IsFailedPrecondition(stream.Resume()));
  EXPECT_TRUE(server_.AwaitCancelledAnswers(1));
}

TEST_F(TokenStreamTest, DestructionCancels) {
  server_.faults.hang_generate = true;
  {
    TokenStream stream = session_.Generate({});
    ASSERT_TRUE((*stream.Next())->has_start());
  }
  EXPECT_TRUE(server_.AwaitCancelledAnswers(1));
}

}  // namespace
}  // namespace eidetic::client
