#include "server/server.h"

#include <gmock/gmock.h>
#include <prometheus/text_serializer.h>

#include <sstream>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ServerOptions QuickHealth() {
  ServerOptions options;
  options.heartbeat_timeout = absl::Milliseconds(400);
  return options;
}

class ServerTest : public EdgeTest {
 protected:
  ServerTest() : EdgeTest(QuickHealth()) {}

  // Health.Check of `service` by hand: its proto is not among ours. The answer's one field is
  // the status: 1 SERVING, 2 NOT_SERVING; -1: the call failed.
  int Health(const std::string& service) {
    std::string bytes;
    if (!service.empty()) {
      bytes = std::string("\x0A") + static_cast<char>(service.size()) + service;
    }
    grpc::ByteBuffer response;
    const grpc::Status status = RawCall("/grpc.health.v1.Health/Check", bytes, &response);
    grpc::Slice answer;
    if (!status.ok() || !response.DumpToSingleSlice(&answer).ok() || answer.size() != 2) return -1;
    return answer.begin()[1];
  }

  std::string Page() {
    std::ostringstream page;
    prometheus::TextSerializer().Serialize(page, metrics_->Collect());
    return page.str();
  }
};

TEST_F(ServerTest, HealthFollowsTheHeartbeat) {
  for (const char* service : {"", "eidetic.v1.SessionService", "eidetic.v1.GenerationService",
                              "eidetic.v1.ModelService"}) {
    EXPECT_EQ(Health(service), 1) << service;
  }
  EXPECT_EQ(Health("eidetic.v1.NoService"), -1);
  engine_.set_heartbeat(absl::Now() - absl::Seconds(1));
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return Health("") == 2; }));
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return Health("eidetic.v1.GenerationService") == 2; }));
  engine_.set_heartbeat(absl::InfiniteFuture());
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return Health("") == 1; }));
}

TEST_F(ServerTest, TellsItsModel) {
  v1::ListModelsResponse models;
  ASSERT_TRUE(models_->ListModels(Context().get(), {}, &models).ok());
  ASSERT_EQ(models.models_size(), 1);
  EXPECT_EQ(models.models(0).name(), "models/fake");
  EXPECT_EQ(models.models(0).family(), "fake");
  EXPECT_EQ(models.models(0).layer_count(), 3);
  EXPECT_EQ(models.models(0).attention_layer_count(), 1);
  EXPECT_EQ(models.models(0).block_tokens(), 32);
  EXPECT_EQ(models.models(0).backend(), "fake backend");
  EXPECT_EQ(models.models(0).content_hash(), "ab12");
  v1::GetModelRequest request;
  request.set_name("models/fake");
  v1::Model model;
  EXPECT_TRUE(models_->GetModel(Context().get(), request, &model).ok());
  request.set_name("models/other");
  const grpc::Status none = models_->GetModel(Context().get(), request, &model);
  EXPECT_EQ(none.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(none.error_message(), HasSubstr("models/fake"));
}

TEST_F(ServerTest, MetricsTellWhatHappened) {
  EngineObserver::Step step;
  step.seconds = 0.002;
  step.sequences = 3;
  step.decode_tokens = 3;
  step.retrieval = {.candidates_read = 40, .choices = 10, .proven = 9, .seconds = 0.0001};
  metrics_->OnInterToken(0.003);
  metrics_->OnStep(step);
  metrics_->OnStepApplied();
  step.prefill_tokens = 512;
  metrics_->OnStep(step);
  step.decode_tokens = 0;
  metrics_->OnStep(step);
  metrics_->OnQueued(0.01);
  metrics_->OnFirstToken(StartTier::kDisk, 0.02);
  metrics_->OnCommit(0.001);
  const std::string page = Page();
  for (const char* line : {
           "eidetic_time_to_first_token_seconds_count{start=\"disk\"} 1",
           "eidetic_time_to_first_token_seconds_count{start=\"warm\"} 0",
           "eidetic_commit_seconds_count 1",
           "eidetic_draining 0",
           "eidetic_inter_token_seconds_count 1",
           "eidetic_queue_seconds_count 1",
           "eidetic_engine_step_seconds_count{phase=\"decode\"} 1",
           "eidetic_engine_step_seconds_count{phase=\"mixed\"} 1",
           "eidetic_engine_step_seconds_count{phase=\"prefill\"} 1",
           "eidetic_batch_sequences_sum 9",
           "eidetic_tokens_total{kind=\"prompt\"} 1024",
           "eidetic_tokens_total{kind=\"generated\"} 6",
           "eidetic_requests_running 3",
           "eidetic_requests_queued 0",
           "eidetic_sessions 0",
           "eidetic_pages_used{kind=\"kv\"} 40",
           "eidetic_pages_used{kind=\"index\"} 5",
           "eidetic_pages_capacity{kind=\"kv\"} 0",
           "eidetic_promoted_pages 7",
           "eidetic_span_choices_total{kind=\"kv_host\"} 11",
           "eidetic_state_slots_used 0",
           "eidetic_state_slots_capacity 0",
           "eidetic_retrieval_seconds_count 3",
           "eidetic_retrieval_candidate_blocks_total 120",
           "eidetic_retrieval_choices_total{proven=\"true\"} 27",
           "eidetic_retrieval_choices_total{proven=\"false\"} 3",
       }) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + line));
  }
  EXPECT_THAT(page, HasSubstr("eidetic_build_info{"));
}

TEST_F(ServerTest, RpcsAreCountedByMethodAndCode) {
  v1::GetSessionRequest request;
  v1::Session session;
  sessions_->GetSession(Context().get(), request, &session);
  ASSERT_TRUE(Create("chat", &session).ok());
  const auto context = Context();
  EXPECT_FALSE(generation_->Generate(context.get(), {})->Finish().ok());
  // A method that nobody has must not become a label.
  grpc::ByteBuffer answer;
  EXPECT_EQ(RawCall("/eidetic.v1.SessionService/Hostile", "", &answer).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("eidetic_rpc_total{code=\"INVALID_ARGUMENT\","
                              "method=\"/eidetic.v1.SessionService/GetSession\"} 1"));
  EXPECT_THAT(page, HasSubstr("eidetic_rpc_total{code=\"OK\","
                              "method=\"/eidetic.v1.SessionService/CreateSession\"} 1"));
  EXPECT_THAT(page, HasSubstr("eidetic_rpc_total{code=\"INVALID_ARGUMENT\","
                              "method=\"/eidetic.v1.GenerationService/Generate\"} 1"));
  EXPECT_THAT(page, Not(HasSubstr("Hostile")));
}

TEST_F(ServerTest, APortThatIsTakenIsRefused) {
  ServerOptions options;
  options.address = absl::StrCat("127.0.0.1:", server_->port());
  const auto second =
      EideticServer::Start({&engine_, "models/fake", "fake"}, metrics_.get(), options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(second.status().message()), StartsWith("address: can not listen"));
}

TEST_F(ServerTest, ShutdownLetsAnswersEnd) {
  v1::GenerateRequest request;
  request.set_parent("tenants/acme");
  request.mutable_prompt()->set_text("Hi");
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request);
  ASSERT_TRUE(FakeEngine::WaitFor(
      [&] { return engine_.record() != nullptr && engine_.record()->readers() == 1; }));
  const auto record = engine_.record();
  std::thread end([&] { server_->Shutdown(absl::Seconds(10)); });
  absl::SleepFor(absl::Milliseconds(50));
  record->Publish(GenerationStart{});
  record->Publish(GenerationFinish{});
  v1::GenerateResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_finish());
  EXPECT_TRUE(stream->Finish().ok());
  end.join();
}

TEST_F(ServerTest, ShutdownCancelsWhatOutlastsItsGrace) {
  v1::GenerateRequest request;
  request.set_parent("tenants/acme");
  request.mutable_prompt()->set_text("Hi");
  const auto context = Context();
  const auto stream = generation_->Generate(context.get(), request);
  ASSERT_TRUE(FakeEngine::WaitFor(
      [&] { return engine_.record() != nullptr && engine_.record()->readers() == 1; }));
  const absl::Time begin = absl::Now();
  server_->Shutdown(absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(engine_.record()->readers(), 0);
  EXPECT_FALSE(stream->Finish().ok());
}

// Whether the server has grpc.reflection.
bool Reflects(bool enabled) {
  FakeEngine engine;
  Metrics metrics("models/fake", "fake");
  ServerOptions options;
  options.address = "127.0.0.1:0";
  options.enable_reflection = enabled;
  const auto server = EideticServer::Start({&engine, "models/fake", "fake"}, &metrics, options);
  const auto channel = grpc::CreateChannel(absl::StrCat("127.0.0.1:", (*server)->port()),
                                           grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
  const auto stream = OpenRawStream(
      channel.get(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &context);
  stream->WritesDone();
  return stream->Finish().ok();
}

TEST(ReflectionTest, IsServedOnlyWhenEnabled) {
  EXPECT_TRUE(Reflects(true));
  EXPECT_FALSE(Reflects(false));
}

}  // namespace
}  // namespace eidetic
