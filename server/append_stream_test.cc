#include <gmock/gmock.h>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AppendStreamTest : public EdgeTest {
 protected:
  AppendStreamTest() { EXPECT_TRUE(Create("chat", &session_).ok()); }

  v1::AppendSessionRequest Part(const std::string& text, bool first = false) {
    v1::AppendSessionRequest part;
    if (first) part.set_name(session_.name());
    part.mutable_content()->set_text(text);
    return part;
  }

  // What the server answers to these parts.
  grpc::Status Send(const std::vector<v1::AppendSessionRequest>& parts) {
    const auto context = Context();
    const auto stream = sessions_->AppendSession(context.get());
    for (const auto& part : parts) stream->Write(part);
    stream->WritesDone();
    for (v1::AppendSessionResponse response; stream->Read(&response);) {
      responses_.push_back(response);
    }
    return stream->Finish();
  }

  v1::Session session_;
  std::vector<v1::AppendSessionResponse> responses_;
};

TEST_F(AppendStreamTest, EachPartIsOneAppendAndTheLastAnswerTellsAll) {
  ASSERT_TRUE(Send({Part("abc", true), Part("de"), Part("f")}).ok());
  EXPECT_THAT(engine_.appended(),
              ElementsAre(ElementsAre('a', 'b', 'c'), ElementsAre('d', 'e'), ElementsAre('f')));
  ASSERT_FALSE(responses_.empty());
  EXPECT_EQ(responses_.back().position(), 6);
  EXPECT_EQ(responses_.back().computed_position(), 6);
  EXPECT_EQ(responses_.back().requests_acknowledged(), 3);
  EXPECT_FALSE(engine_.writer_taken());
}

TEST_F(AppendStreamTest, ProgressIsToldAndCoalesced) {
  engine_.hold_drain = true;
  const auto context = Context();
  const auto stream = sessions_->AppendSession(context.get());
  stream->Write(Part(std::string(1000, 'x'), true));
  v1::AppendSessionResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.position(), 1000);
  EXPECT_EQ(response.computed_position(), 0);
  // The loop makes progress faster than a write completes.
  for (int computed = 1; computed <= 1000; ++computed) engine_.Progress(computed);
  int reads = 0;
  while (response.computed_position() < 1000) {
    const int64_t before = response.computed_position();
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_GT(response.computed_position(), before);
    ++reads;
  }
  EXPECT_LT(reads, 1000);
  context->TryCancel();
  stream->Finish();
}

TEST_F(AppendStreamTest, TheFirstRequestAndOnlyTheFirstNamesTheSession) {
  EXPECT_EQ(BadField(Send({})), "name");
  EXPECT_EQ(BadField(Send({Part("a")})), "name");
  EXPECT_THAT(engine_.appended(), IsEmpty());
  EXPECT_EQ(BadField(Send({Part("a", true), Part("b", true)})), "name");
  EXPECT_THAT(engine_.appended(), ElementsAre(ElementsAre('a')));
  EXPECT_FALSE(engine_.writer_taken());
}

TEST_F(AppendStreamTest, WhatWasAcknowledgedIsToldBeforeAnError) {
  v1::AppendSessionRequest wrong = Part("b");
  wrong.set_expected_position(99);
  const grpc::Status status = Send({Part("a", true), wrong});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_FALSE(responses_.empty());
  EXPECT_EQ(responses_.back().position(), 1);
  EXPECT_EQ(responses_.back().requests_acknowledged(), 1);
}

TEST_F(AppendStreamTest, ASecondWriterIsAborted) {
  const auto context = Context();
  const auto first = sessions_->AppendSession(context.get());
  first->Write(Part("a", true));
  v1::AppendSessionResponse response;
  ASSERT_TRUE(first->Read(&response));
  const grpc::Status second = Send({Part("b", true)});
  EXPECT_EQ(second.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(second));
  first->WritesDone();
  while (first->Read(&response)) {
  }
  EXPECT_TRUE(first->Finish().ok());
  EXPECT_TRUE(Send({Part("b", true)}).ok());
}

TEST_F(AppendStreamTest, ErrorsOfTheEngineReachTheClient) {
  v1::AppendSessionRequest unknown = Part("a", true);
  unknown.set_name("tenants/acme/sessions/none");
  EXPECT_EQ(Send({unknown}).error_code(), grpc::StatusCode::NOT_FOUND);
  engine_.append_status = absl::ResourceExhaustedError("no page is free");
  const grpc::Status full = Send({Part("a", true)});
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(full));
  EXPECT_FALSE(engine_.writer_taken());
}

TEST_F(AppendStreamTest, AClientThatLeavesLetsTheSessionGo) {
  engine_.hold_drain = true;
  {
    const auto context = Context();
    const auto stream = sessions_->AppendSession(context.get());
    stream->Write(Part("a", true));
    stream->WritesDone();
    v1::AppendSessionResponse response;
    ASSERT_TRUE(stream->Read(&response));
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return !engine_.writer_taken(); }));
}

TEST_F(AppendStreamTest, APartThatDoesNotParseIsNoEndOfTheStream) {
  // Field 1, a string, with a byte that is not UTF-8: protobuf refuses it.
  const auto context = Context();
  const auto stream =
      OpenRawStream(channel_.get(), "/eidetic.v1.SessionService/AppendSession", context.get());
  stream->Write(Wire("\x0A\x01\xFF"));
  stream->WritesDone();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AppendStreamTest, APartOverTheLimitIsRefused) {
  const grpc::Status status = Send({Part(std::string(5 << 20, 'x'), true)});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(engine_.appended(), IsEmpty());
}

}  // namespace
}  // namespace eidetic
