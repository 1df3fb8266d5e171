#include <gmock/gmock.h>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class GenerateStreamTest : public EdgeTest {
 protected:
  GenerateStreamTest() {
    request_.set_parent("tenants/acme");
    request_.mutable_prompt()->set_text("Hi");
  }

  // The record of the Generate that was sent last, once a reader is attached.
  std::shared_ptr<GenerationRecord> Attached() {
    EXPECT_TRUE(FakeEngine::WaitFor(
        [&] { return engine_.record() != nullptr && engine_.record()->readers() == 1; }));
    return engine_.record();
  }

  static TokenEvent Token(int64_t number) {
    TokenEvent event;
    event.sequence_number = number;
    event.position = 1 + number;
    event.token = {.token = static_cast<TokenId>('a' + number % 26),
                   .logprob = -0.5f,
                   .top = {{.token = 'x', .logprob = -0.25f}}};
    event.text = "t";
    event.blocks = {4};
    return event;
  }

  void PublishAll(GenerationRecord& record, int tokens) {
    record.Publish(GenerationStart{.seed = 9, .position = 2, .prompt_tokens = 2});
    for (int i = 1; i <= tokens; ++i) record.Publish(Token(i));
    GenerationFinish finish;
    finish.reason = FinishReason::kStopToken;
    finish.stop_token = 259;
    finish.text = "!";
    finish.prompt_tokens = 2;
    finish.generated_tokens = tokens;
    finish.position = 2 + tokens;
    finish.passages = {{.begin = 0, .end = 32, .mass = 0.75, .text = "once"}};
    record.Publish(finish);
  }

  v1::GenerateRequest request_;
};

TEST_F(GenerateStreamTest, StartTokensAndFinishComeInOrderAndWhole) {
  request_.set_logprobs(1);
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  PublishAll(*Attached(), 300);
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.start().seed(), 9u);
  EXPECT_EQ(response.start().prompt_tokens(), 2);
  for (int i = 1; i <= 300; ++i) {
    ASSERT_TRUE(stream->Read(&response));
    ASSERT_EQ(response.delta().sequence_number(), i);
    EXPECT_EQ(response.delta().position(), 1 + i);
  }
  EXPECT_EQ(response.delta().text(), "t");
  EXPECT_EQ(response.delta().logprob().chosen().logprob(), -0.5f);
  EXPECT_EQ(response.delta().logprob().top(0).token_bytes(), "x");
  EXPECT_THAT(response.delta().blocks(), ElementsAre(4));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.finish().finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
  EXPECT_EQ(response.finish().stop_token(), 259);
  EXPECT_EQ(response.finish().text(), "!");
  EXPECT_EQ(response.finish().usage().generated_tokens(), 300);
  EXPECT_EQ(response.finish().position(), 302);
  ASSERT_EQ(response.finish().passages_size(), 1);
  EXPECT_EQ(response.finish().passages(0).text(), "once");
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return engine_.record()->readers() == 0; }));
}

TEST_F(GenerateStreamTest, TokensArriveAsTheyAreMadeWithoutLogprobsUnasked) {
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  const auto record = Attached();
  v1::GenerateResponse response;
  engine_.Post([&] { record->Publish(GenerationStart{}); });
  ASSERT_TRUE(stream->Read(&response));
  for (int i = 1; i <= 20; ++i) {
    engine_.Post([&, i] { record->Publish(Token(i)); });
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.delta().sequence_number(), i);
    EXPECT_FALSE(response.delta().has_logprob());
  }
  engine_.Post([&] { record->Publish(GenerationFinish{}); });
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GenerateStreamTest, AResumedStreamBeginsAfterTheNumberGiven) {
  request_.set_request_id("once");
  request_.set_resume_from(2);
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  PublishAll(*Attached(), 3);
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_start());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.delta().sequence_number(), 3);
}

TEST_F(GenerateStreamTest, AClientThatLeavesDropsTheReader) {
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  const auto record = Attached();
  record->Publish(GenerationStart{});
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context->TryCancel();
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return record->readers() == 0; }));
  for (int i = 1; i <= 10; ++i) record->Publish(Token(i));  // the engine notices a step later
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GenerateStreamTest, ADeadlineDropsTheReader) {
  const auto context = Context(absl::Milliseconds(200));
  const auto stream = generation_->Generate(context.get(), request_);
  const auto record = Attached();
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return record->readers() == 0; }));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(GenerateStreamTest, ADeadlineThatHasPassedReachesNoEngine) {
  const auto context = Context(-absl::Seconds(1));
  const auto stream = generation_->Generate(context.get(), request_);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(engine_.record(), nullptr);
}

TEST_F(GenerateStreamTest, AStreamMayDieBeforeTheEngineAnswers) {
  engine_.hold_generate = true;
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  ASSERT_TRUE(FakeEngine::WaitFor([&] { return engine_.record() != nullptr; }));
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  absl::SleepFor(absl::Milliseconds(50));  // gRPC is done with the stream by now
  engine_.ReleaseGenerate();
  engine_.Settle();
  EXPECT_EQ(engine_.record()->readers(), 0);
}

TEST_F(GenerateStreamTest, ASlowReaderLagsAndBlocksNobody) {
  const auto slow_context = Context();
  const auto slow = generation_->Generate(slow_context.get(), request_);
  const auto record = Attached();
  record->Publish(GenerationStart{});
  // More than the transport buffers: the stream stops taking events.
  const std::string text(1 << 16, 'x');
  for (int i = 1; i <= 200; ++i) {
    TokenEvent event = Token(i);
    event.text = text;
    engine_.Post([record, event] { record->Publish(event); });
  }
  engine_.Settle();  // no callback blocked the loop
  EXPECT_GT(record->slowest_lag(), 100);

  v1::TokenizeRequest tokenize;
  tokenize.mutable_content()->set_text("ab");
  v1::TokenizeResponse tokens;
  EXPECT_TRUE(generation_->Tokenize(Context().get(), tokenize, &tokens).ok());

  v1::GenerateResponse response;
  for (int i = 0; i <= 200; ++i) ASSERT_TRUE(slow->Read(&response));
  EXPECT_EQ(response.delta().sequence_number(), 200);
  EXPECT_EQ(record->slowest_lag(), 0);
  slow_context->TryCancel();
}

TEST_F(GenerateStreamTest, ErrorsCarryDetails) {
  engine_.generate_status = absl::AbortedError("the session has another writer");
  v1::GenerateResponse response;
  auto context = Context();
  const grpc::Status busy = generation_->Generate(context.get(), request_)->Finish();
  EXPECT_EQ(busy.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(busy));

  request_.mutable_sampling()->set_top_p(2);
  context = Context();
  const grpc::Status bad = generation_->Generate(context.get(), request_)->Finish();
  EXPECT_EQ(bad.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(BadField(bad), "sampling.top_p");
}

TEST_F(GenerateStreamTest, AnErrorAfterTokensEndsTheStream) {
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request_);
  const auto record = Attached();
  record->Publish(GenerationStart{});
  record->Publish(Token(1));
  record->Publish(absl::ResourceExhaustedError("no page is free"));
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.delta().sequence_number(), 1);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GenerateStreamTest, ManyStreamsLiveAndDieAtOnce) {
  std::vector<std::thread> clients;
  for (int i = 0; i < 32; ++i) {
    clients.emplace_back([this, i] {
      const auto context = Context();
      const auto stream = generation_->Generate(context.get(), request_);
      if (i % 2 == 0) absl::SleepFor(absl::Milliseconds(i));
      context->TryCancel();
      EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(GenerateStreamTest, ScoreAddsUpAndStopsWhenTheClientLeaves) {
  v1::ScoreRequest request;
  request.set_parent("tenants/acme");
  request.mutable_content()->set_text("abc");
  engine_.score_result = {{.token = 'b', .logprob = -1.0f, .top = {}},
                          {.token = 'c', .logprob = -0.5f, .top = {}}};
  v1::ScoreResponse response;
  ASSERT_TRUE(generation_->Score(Context().get(), request, &response).ok());
  EXPECT_EQ(response.scored_tokens(), 2);
  EXPECT_EQ(response.total_logprob(), -1.5);
  EXPECT_EQ(response.entries(1).chosen().token_bytes(), "c");

  engine_.hold_score = true;  // the fake fails the test when it is never cancelled
  EXPECT_EQ(
      generation_->Score(Context(absl::Milliseconds(100)).get(), request, &response).error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  engine_.Settle();
}

TEST_F(GenerateStreamTest, TokenizeAndDetokenizeAreInverse) {
  v1::TokenizeRequest tokenize;
  tokenize.mutable_content()->set_text("abc");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(generation_->Tokenize(Context().get(), tokenize, &tokens).ok());
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_ids() = tokens.ids();
  detokenize.add_ids(FakeChatTokenizer::kEnd);
  v1::DetokenizeResponse text;
  ASSERT_TRUE(generation_->Detokenize(Context().get(), detokenize, &text).ok());
  EXPECT_EQ(text.text(), "abc<|endoftext|>");
  detokenize.set_skip_special(true);
  ASSERT_TRUE(generation_->Detokenize(Context().get(), detokenize, &text).ok());
  EXPECT_EQ(text.text(), "abc");
  detokenize.add_ids(260);
  EXPECT_THAT(BadField(generation_->Detokenize(Context().get(), detokenize, &text)),
              StartsWith("ids["));
}

}  // namespace
}  // namespace eidetic
