// Which tokens of an answer share a message.
#include <gmock/gmock.h>

#include <vector>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;

class GenerateMessagesTest : public EdgeTest {
 protected:
  explicit GenerateMessagesTest(ServerOptions options = {}) : EdgeTest(std::move(options)) {
    request_.set_parent("tenants/acme");
    request_.mutable_prompt()->set_text("Hi");
  }

  static TokenEvent Token(int64_t number) {
    TokenEvent event;
    event.sequence_number = number;
    event.position = 1 + number;
    event.token = {.token = static_cast<TokenId>('a' + number % 26), .logprob = -0.5f, .top = {}};
    event.text = "t";
    event.blocks = {static_cast<memory::BlockIndex>(number)};
    return event;
  }

  // The messages of an answer that was made before its stream takes the first event, with text
  // `text` to each of its tokens.
  std::vector<v1::GenerateResponse> ReadWaiting(int tokens, const std::string& text = "t") {
    engine_.hold_generate = true;
    const auto before = engine_.record();
    const auto context = Context();
    const auto stream = generation_->Generate(context.get(), request_);
    EXPECT_TRUE(FakeEngine::WaitFor([&] { return engine_.record() != before; }));
    engine_.record()->Publish(GenerationStart{});
    for (int i = 1; i <= tokens; ++i) {
      TokenEvent event = Token(i);
      event.text = text;
      engine_.record()->Publish(event);
    }
    GenerationFinish finish;
    finish.generated_tokens = tokens;
    engine_.record()->Publish(finish);
    engine_.ReleaseGenerate();
    std::vector<v1::GenerateResponse> messages;
    v1::GenerateResponse message;
    while (stream->Read(&message)) messages.push_back(message);
    EXPECT_TRUE(stream->Finish().ok());
    return messages;
  }

  // How many tokens each message carries, and that they are 1, 2, 3, ... from `first` on.
  static std::vector<int> Sizes(const std::vector<v1::GenerateResponse>& messages,
                                int64_t first = 1) {
    std::vector<int> sizes;
    for (const v1::GenerateResponse& message : messages) {
      if (message.has_delta()) {
        EXPECT_EQ(message.delta().sequence_number(), first++);
      }
      for (const v1::TokenDelta& token : message.deltas().tokens()) {
        EXPECT_EQ(token.sequence_number(), first++);
        EXPECT_EQ(token.position(), token.sequence_number() + 1);
      }
      sizes.push_back(message.has_delta() ? 1 : message.deltas().tokens_size());
    }
    return sizes;
  }

  v1::GenerateRequest request_;
};

TEST_F(GenerateMessagesTest, TokensThatWaitComeTogetherAndWhole) {
  request_.set_max_message_tokens(16);
  request_.set_logprobs(0);
  const auto messages = ReadWaiting(41);
  EXPECT_THAT(Sizes(messages), ElementsAre(0, 16, 16, 9, 0));
  EXPECT_TRUE(messages.front().has_start());
  EXPECT_EQ(messages.back().finish().usage().generated_tokens(), 41);
  const v1::TokenDelta& last = messages[3].deltas().tokens(8);
  EXPECT_EQ(last.text(), "t");
  EXPECT_EQ(last.logprob().chosen().logprob(), -0.5f);
  EXPECT_THAT(last.blocks(), ElementsAre(41));
}

TEST_F(GenerateMessagesTest, ATokenAloneAndARequestThatSaysNothingGetADelta) {
  EXPECT_THAT(Sizes(ReadWaiting(3)), ElementsAre(0, 1, 1, 1, 0));
  request_.set_max_message_tokens(2);
  const auto messages = ReadWaiting(3);
  EXPECT_THAT(Sizes(messages), ElementsAre(0, 2, 1, 0));
  EXPECT_TRUE(messages[2].has_delta());
}

TEST_F(GenerateMessagesTest, TokensDoNotWaitForCompany) {
  request_.set_max_message_tokens(16);
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  ASSERT_TRUE(FakeEngine::WaitFor([&] { return engine_.record() != nullptr; }));
  const auto record = engine_.record();
  v1::GenerateResponse response;
  engine_.Post([&] { record->Publish(GenerationStart{}); });
  ASSERT_TRUE(stream->Read(&response));
  for (int i = 1; i <= 20; ++i) {
    engine_.Post([&, i] { record->Publish(Token(i)); });
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.delta().sequence_number(), i);
  }
}

TEST_F(GenerateMessagesTest, AResumedStreamCatchesUpInFewMessages) {
  request_.set_request_id("once");
  request_.set_resume_from(2);
  request_.set_max_message_tokens(16);
  EXPECT_THAT(Sizes(ReadWaiting(20), 3), ElementsAre(0, 16, 2, 0));
}

TEST_F(GenerateMessagesTest, AFullMessageTakesNoFurtherToken) {
  request_.set_max_message_tokens(16);
  EXPECT_THAT(Sizes(ReadWaiting(5, std::string(40 << 10, 'x'))), ElementsAre(0, 2, 2, 1, 0));
}

TEST_F(GenerateMessagesTest, AnErrorComesAfterTheTokensBeforeIt) {
  request_.set_max_message_tokens(16);
  engine_.hold_generate = true;
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  ASSERT_TRUE(FakeEngine::WaitFor([&] { return engine_.record() != nullptr; }));
  engine_.record()->Publish(GenerationStart{});
  for (int i = 1; i <= 3; ++i) engine_.record()->Publish(Token(i));
  engine_.record()->Publish(absl::ResourceExhaustedError("no page is free"));
  engine_.ReleaseGenerate();
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.deltas().tokens_size(), 3);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GenerateMessagesTest, MessagesOfNoOrTooManyTokensAreRefused) {
  for (const int32_t tokens : {-1, 0, 1025}) {
    request_.set_max_message_tokens(tokens);
    const grpc::Status status = generation_->Generate(Context().get(), request_)->Finish();
    EXPECT_EQ(BadField(status), "max_message_tokens") << tokens;
  }
}

class FewTokensAMessageTest : public GenerateMessagesTest {
 protected:
  FewTokensAMessageTest() : GenerateMessagesTest({.max_message_tokens = 2}) {}
};

TEST_F(FewTokensAMessageTest, TheServersLimitHolds) {
  request_.set_max_message_tokens(1024);
  EXPECT_THAT(Sizes(ReadWaiting(5)), ElementsAre(0, 2, 2, 1, 0));
}

}  // namespace
}  // namespace eidetic
