#include "server/slow_readers.h"

#include <gmock/gmock.h>
#include <prometheus/text_serializer.h>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(1);

ServerOptions QuickCut() {
  ServerOptions options;
  options.slow_reader_timeout = kTimeout;
  return options;
}

class SlowReadersTest : public EdgeTest {
 protected:
  SlowReadersTest() : EdgeTest(QuickCut()) {}

  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> Open(grpc::ClientContext* context) {
    v1::GenerateRequest request;
    request.set_parent("tenants/acme");
    request.mutable_prompt()->set_text("Hi");
    auto stream = generation_->Generate(context, request);
    EXPECT_TRUE(FakeEngine::WaitFor(
        [&] { return engine_.record() != nullptr && engine_.record()->readers() == 1; }));
    engine_.record()->Publish(GenerationStart{});
    return stream;
  }
  // Far more than flow control lets through to a client that does not read.
  void PublishMuch() {
    for (int i = 1; i <= 20'000; ++i) {
      engine_.record()->Publish(TokenEvent{
          .sequence_number = i, .token = {}, .text = std::string(1000, 'x'), .blocks = {}});
    }
  }
  std::string Page() { return prometheus::TextSerializer().Serialize(metrics_->Collect()); }
};

TEST_F(SlowReadersTest, AClientThatTakesNothingIsCut) {
  const auto context = Context();
  const auto stream = Open(context.get());
  PublishMuch();
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return engine_.record()->readers() == 0; }));
  EXPECT_TRUE(FakeEngine::WaitFor(
      [&] { return Page().find("eidetic_slow_readers_cut_total 1") != std::string::npos; }));
  v1::GenerateResponse response;
  int64_t told = 0;
  while (stream->Read(&response)) ++told;
  EXPECT_LT(told, 20'000);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(Page(), HasSubstr("eidetic_rejections_total{reason=\"stream\"} 1"));
}

TEST_F(SlowReadersTest, AClientThatWaitsForTheModelIsNot) {
  const auto context = Context();
  const auto stream = Open(context.get());
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  absl::SleepFor(3 * kTimeout);
  engine_.record()->Publish(GenerationFinish{});
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_finish());
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(Page(), HasSubstr("eidetic_slow_readers_cut_total 0"));
}

}  // namespace
}  // namespace eidetic
