// The whole server with the demo model: what the scripted engine can not show.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "server/server.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DemoServerTest : public ::testing::Test {
 protected:
  DemoServerTest() : backend_(CreateCpuBackend({.threads = 2})) {
    Engine::Options options;
    options.observer = &metrics_;
    auto engine = Engine::Create("engine/model/demo", backend_.get(), options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    metrics_.Watch(engine_.get());
    ServerOptions server_options;
    server_options.address = "127.0.0.1:0";
    auto server = EideticServer::Start({engine_.get(), "models/demo", backend_->name()}, &metrics_,
                                       server_options);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    const auto channel = grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                             grpc::InsecureChannelCredentials());
    sessions_ = v1::SessionService::NewStub(channel);
    generation_ = v1::GenerationService::NewStub(channel);
    v1::CreateSessionRequest request;
    request.set_parent("tenants/acme");
    request.set_session_id("chat");
    EXPECT_TRUE(sessions_->CreateSession(Context().get(), request, &session_).ok());
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(2)));
    return context;
  }

  v1::Session Get() {
    v1::GetSessionRequest request;
    request.set_name(session_.name());
    v1::Session session;
    EXPECT_TRUE(sessions_->GetSession(Context().get(), request, &session).ok());
    return session;
  }

  v1::AppendSessionResponse Append(int parts) {
    const auto context = Context();
    const auto stream = sessions_->AppendSession(context.get());
    for (int i = 0; i < parts; ++i) {
      v1::AppendSessionRequest request;
      if (i == 0) request.set_name(session_.name());
      std::string text;
      for (int line = 0; line < 40; ++line) {
        absl::StrAppend(&text, "Note ", i, ".", line, ": the kettle is in the kitchen. ");
      }
      request.mutable_content()->set_text(text);
      EXPECT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
    v1::AppendSessionResponse response;
    while (stream->Read(&response)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
    return response;
  }

  v1::GenerateRequest Question(int max_tokens) {
    v1::GenerateRequest request;
    request.set_session(session_.name());
    auto* message = request.mutable_prompt()->mutable_messages()->add_messages();
    message->set_role("user");
    message->set_content("Where is the kettle?");
    request.mutable_sampling()->set_temperature(0);
    request.set_max_tokens(max_tokens);
    request.set_ignore_end_tokens(true);
    return request;
  }

  std::unique_ptr<Backend> backend_;
  Metrics metrics_{"models/demo", "cpu"};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EideticServer> server_;
  std::unique_ptr<v1::SessionService::Stub> sessions_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  v1::Session session_;
};

TEST_F(DemoServerTest, AppendGenerateAndSearchOneSession) {
  const v1::AppendSessionResponse appended = Append(5);
  EXPECT_EQ(appended.requests_acknowledged(), 5);
  EXPECT_GT(appended.position(), 1000);
  EXPECT_EQ(appended.computed_position(), appended.position());

  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), Question(12));
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.start().position(), appended.position() + response.start().prompt_tokens());
  const int64_t begin = response.start().position();
  for (int i = 1; i <= 12; ++i) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.delta().sequence_number(), i);
    EXPECT_EQ(response.delta().position(), begin + i - 1);
  }
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.finish().finish_reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_FALSE(response.finish().passages().empty());
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(Get().position(), begin + 12);
  EXPECT_FALSE(Get().busy());

  v1::SearchMemoryRequest search;
  search.set_name(session_.name());
  search.mutable_query()->set_text("the kettle");
  v1::SearchMemoryResponse found;
  ASSERT_TRUE(sessions_->SearchMemory(Context().get(), search, &found).ok());
  ASSERT_FALSE(found.blocks().empty());
  EXPECT_THAT(found.passages(0).text(), HasSubstr("kettle"));
}

TEST_F(DemoServerTest, AClientThatLeavesStopsTheWorkAndTheSessionKeepsItsTokens) {
  {
    const auto context = Context();
    const auto stream = generation_->Generate(context.get(), Question(60000));
    v1::GenerateResponse response;
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(stream->Read(&response));
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (Get().busy() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(10));
  const v1::Session session = Get();
  EXPECT_FALSE(session.busy());
  EXPECT_GE(session.position(), 3);
  EXPECT_LT(session.position(), 60000);
}

TEST_F(DemoServerTest, ScoresAddUpAndMetricsCountTheTokens) {
  v1::ScoreRequest request;
  request.set_parent("tenants/acme");
  request.mutable_content()->set_text("The kettle is in the kitchen.");
  request.set_top_logprobs(3);
  v1::ScoreResponse response;
  ASSERT_TRUE(generation_->Score(Context().get(), request, &response).ok());
  ASSERT_GT(response.scored_tokens(), 3);
  double total = 0;
  for (const auto& entry : response.entries()) {
    EXPECT_LE(entry.chosen().logprob(), entry.top(0).logprob());
    total += entry.chosen().logprob();
  }
  EXPECT_NEAR(response.total_logprob(), total, 1e-6);
  std::ostringstream page;
  prometheus::TextSerializer().Serialize(page, metrics_.Collect());
  EXPECT_THAT(page.str(), Not(HasSubstr("eidetic_tokens_total{kind=\"prompt\"} 0\n")));
}

}  // namespace
}  // namespace eidetic
