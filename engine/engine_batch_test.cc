#include <algorithm>

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using EngineBatchTest = EngineTest;

TEST_F(EngineBatchTest, TokensDoNotDependOnBatchMates) {
  Start();
  std::vector<GenerateSpec> specs;
  for (size_t i = 0; i < 7; ++i) {
    specs.push_back(Spec("", std::string(1 + 37 * i, static_cast<char>('a' + i)), 20));
  }
  std::vector<std::string> alone;
  for (const GenerateSpec& spec : specs) alone.push_back(Answer(spec).text());
  std::vector<Reader> readers;
  for (const GenerateSpec& spec : specs) readers.push_back(*Generate(spec));
  for (size_t i = 0; i < specs.size(); ++i) EXPECT_EQ(Read(*readers[i]).text(), alone[i]);
  const auto steps = model_->steps();
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const auto& s) { return s.size() > 3; }))
      << "they did run together";
}

TEST_F(EngineBatchTest, ALongPromptDoesNotDelayStreams) {
  Start();
  model_->Hold();
  auto stream = Generate(Spec("", "hi", 60));
  ASSERT_TRUE(stream.ok());
  auto bulk = Wait<absl::StatusOr<Reader>>([&](auto done) {
    engine_->Generate(Spec("", std::string(800, 'x'), 2), done);
    model_->Release();
  });
  ASSERT_TRUE(bulk.ok());
  EXPECT_TRUE(Read(**stream).finish.has_value());
  EXPECT_TRUE(Read(**bulk).finish.has_value());
  // While the stream lives, every step that computes the long prompt decodes as well.
  size_t together = 0;
  for (const auto& step : model_->steps()) {
    const bool prefills =
        std::any_of(step.begin(), step.end(), [](const auto& c) { return c.tokens == 32; });
    together += prefills && step.size() == 2;
  }
  EXPECT_EQ(together, 25u) << "800 tokens are 25 chunks";
}

TEST_F(EngineBatchTest, ASlowReaderPausesOnlyItsOwnSequence) {
  EngineLimits limits = SmallLimits();
  limits.max_reader_lag_events = 10;
  Start(limits);
  auto slow = Generate(Spec("", "slow", 100));
  auto quick = Generate(Spec("", "quick", 100));
  ASSERT_TRUE(slow.ok() && quick.ok());
  EXPECT_TRUE(Read(**quick).finish.has_value());
  const size_t steps = model_->steps().size();
  EXPECT_LE(steps, 100u + 11u);
  // Paused, not lost: it goes on as it is read, and says what it would have said.
  const Told told = Read(**slow);
  EXPECT_TRUE(told.finish.has_value());
  EXPECT_EQ(told.text(), Answer(Spec("", "slow", 100)).text());
}

TEST_F(EngineBatchTest, RequestsBeyondTheLimitAreRefusedAtOnce) {
  EngineLimits limits = SmallLimits();
  limits.max_sequences = 2;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  auto first = OpenAppend("a");
  auto second = OpenAppend("b");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(Generate(Spec("", "hi")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Score("", "hi").status().code(), absl::StatusCode::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(Eventually([&] { return Generate(Spec("", "hi")).ok(); }));
}

TEST_F(EngineBatchTest, APlaceIsFreeOnceTheFinishIsTold) {
  EngineLimits limits = SmallLimits();
  limits.max_sequences = 1;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  for (int i = 0; i < 50; ++i) {
    const Told told = Answer(Spec("a", "x", 2));
    ASSERT_TRUE(told.finish) << told.error;
  }
}

}  // namespace
}  // namespace eidetic
