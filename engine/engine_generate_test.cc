#include <gmock/gmock.h>

#include <thread>

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using EngineGenerateTest = EngineTest;

TEST_F(EngineGenerateTest, AnswersWithoutASession) {
  Start();
  const Told told = Answer(Spec("", "hello", 6));
  ASSERT_TRUE(told.error.ok()) << told.error;
  ASSERT_TRUE(told.start);
  EXPECT_EQ(told.start->seed, 1u);
  EXPECT_EQ(told.start->position, 5);
  EXPECT_EQ(told.start->prompt_tokens, 5);
  ASSERT_EQ(told.tokens.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(told.tokens[i].sequence_number, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(told.tokens[i].position, static_cast<int64_t>(i) + 5);
  }
  ASSERT_TRUE(told.finish);
  EXPECT_EQ(told.finish->reason, FinishReason::kMaxTokens);
  EXPECT_EQ(told.finish->position, 11);
  EXPECT_EQ(told.finish->prompt_tokens, 5);
  EXPECT_EQ(told.finish->generated_tokens, 6);
  // Nothing is left of the throw-away session.
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().slots_used == 0; }));
  EXPECT_EQ(engine_->Stats().pages_used, 0);
}

TEST_F(EngineGenerateTest, TheSameSeedGivesTheSameAnswer) {
  Start();
  EXPECT_EQ(Answer(Spec("", "hello")).text(), Answer(Spec("", "hello")).text());
  GenerateSpec other = Spec("", "hello");
  other.seed = 2;
  EXPECT_NE(Answer(other).text(), Answer(Spec("", "hello")).text());
}

TEST_F(EngineGenerateTest, ASeedIsDrawnAndTold) {
  Start();
  GenerateSpec spec = Spec("", "hello", 12);
  spec.seed.reset();
  const Told drawn = Answer(spec);
  ASSERT_TRUE(drawn.start);
  spec.seed = drawn.start->seed;
  EXPECT_EQ(Answer(spec).text(), drawn.text());
}

TEST_F(EngineGenerateTest, ContinuesASession) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  const Told first = Answer(Spec("a", "hello", 4));
  ASSERT_TRUE(first.finish);
  auto info = Get("a");
  EXPECT_EQ(info->position, 9);
  EXPECT_EQ(info->computed, 8) << "the last token waits for the next request";
  EXPECT_FALSE(info->busy);
  const Told second = Answer(Spec("a", "", 3));
  ASSERT_TRUE(second.finish);
  EXPECT_EQ(second.start->position, 9);
  EXPECT_EQ(second.finish->position, 12);
  // As if it had never stopped.
  EXPECT_EQ(first.text() + second.text(), Answer(Spec("", "hello", 7)).text());
}

TEST_F(EngineGenerateTest, BeginsFromTheSavedStateWhenNothingIsLeftToCompute) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", "hello");
  EXPECT_EQ(Answer(Spec("a", "", 5)).text(), Answer(Spec("", "hello", 5)).text());
}

TEST_F(EngineGenerateTest, AnEmptyPromptNeedsAPast) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  for (const char* id : {"a", ""}) {
    const absl::Status status = Generate(Spec(id, "")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("prompt: is empty"));
  }
}

TEST_F(EngineGenerateTest, ChecksTheRequestBeforeAnythingIsWritten) {
  EngineLimits limits = SmallLimits();
  limits.max_generated_tokens = 100'000;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  EXPECT_EQ(Generate(Spec("none", "hi")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Generate(Spec("a", "hi", 0)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Generate(Spec("a", "hi", 100'001)).status().code(), absl::StatusCode::kInvalidArgument);
  GenerateSpec elsewhere = Spec("a", "hi");
  elsewhere.expected_position = 3;
  const absl::Status status = Generate(elsewhere).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is 3"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("stands at 0"));
  // 512 pages in 2 layers hold 4096 tokens.
  EXPECT_EQ(Generate(Spec("a", "hi", 5000)).status().code(), absl::StatusCode::kResourceExhausted);
  const auto info = Get("a");
  EXPECT_EQ(info->position, 0);
  EXPECT_FALSE(info->busy);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().pages_used == 0; }));
  EXPECT_TRUE(Answer(Spec("a", "hi")).finish.has_value());
}

TEST_F(EngineGenerateTest, WithoutAStateSlotNothingHasChanged) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_state_slots = 3;
  Start(limits);
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Create(id).ok());
  EXPECT_EQ(Generate(Spec("a", "hi")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Generate(Spec("", "hi")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get("a")->position, 0);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().pages_used == 0; }));
  ASSERT_TRUE(Delete("c").ok());
  EXPECT_TRUE(Answer(Spec("a", "hi")).finish.has_value());
}

TEST_F(EngineGenerateTest, AStopTokenEndsTheAnswerAndStaysInTheLog) {
  Start(SmallLimits(), [](uint64_t, memory::Position position) {
    return position < 7 ? TokenId{'x'} : FakeTokenizer::kEnd;
  });
  ASSERT_TRUE(Create("a").ok());
  GenerateSpec spec = Spec("a", "hello", 9);
  spec.stop_tokens = {FakeTokenizer::kEnd};
  const Told told = Answer(spec);
  ASSERT_TRUE(told.finish);
  EXPECT_EQ(told.finish->reason, FinishReason::kStopToken);
  EXPECT_EQ(told.finish->stop_token, FakeTokenizer::kEnd);
  EXPECT_EQ(told.text(), "xx");
  EXPECT_EQ(told.tokens.size(), 3u);
  EXPECT_EQ(Get("a")->position, 8);
}

TEST_F(EngineGenerateTest, AStopStringEndsTheAnswerAndItsTokensStay) {
  Start(SmallLimits(),
        [](uint64_t, memory::Position position) { return static_cast<TokenId>('a' + position); });
  ASSERT_TRUE(Create("a").ok());
  GenerateSpec spec = Spec("a", "?", 20);
  spec.stop_strings = {"def"};
  const Told told = Answer(spec);
  ASSERT_TRUE(told.finish);
  EXPECT_EQ(told.finish->stop_string, "def");
  EXPECT_EQ(told.text(), "bc");
  EXPECT_EQ(Get("a")->position, 6);
}

TEST_F(EngineGenerateTest, TellsThePassagesThatTheAnswerDrewOn) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  std::string past(16, 's');
  for (char c : {'1', '2', '3', '4', '5', '6', '7', '8'}) past += std::string(16, c);
  Pour("a", past);
  GenerateSpec spec = Spec("a", "which?", 4);
  spec.token_blocks = true;
  const Told told = Answer(spec);
  ASSERT_TRUE(told.finish);
  // The fake retrieves blocks 1 to 4: neighbours, so one passage.
  ASSERT_EQ(told.finish->passages.size(), 1u);
  const PassageUse& passage = told.finish->passages[0];
  EXPECT_EQ(passage.begin, 16);
  EXPECT_EQ(passage.end, 80);
  EXPECT_EQ(passage.text, past.substr(16, 64));
  EXPECT_NEAR(passage.mass, 0.1 * (1.0 / 2 + 1.0 / 3 + 1.0 / 4 + 1.0 / 5), 1e-12);
  EXPECT_EQ(told.tokens[3].blocks, (std::vector<memory::BlockIndex>{1, 2, 3, 4}));
  EXPECT_TRUE(Answer(Spec("a", "again", 2)).tokens[0].blocks.empty()) << "only on request";
}

TEST_F(EngineGenerateTest, AModelThatGivesNoNumbersIsAnError) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  model_->Break();
  const Told told = Answer(Spec("a", "hello"));
  EXPECT_EQ(told.error.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(told.tokens.empty());
  EXPECT_FALSE(Get("a")->busy);
}

TEST_F(EngineGenerateTest, DestructionTellsReadersAndCallers) {
  Start();
  model_->Hold();
  auto reader = Generate(Spec("", "hello", 100));
  ASSERT_TRUE(reader.ok());
  auto waiting = std::make_shared<absl::Notification>();
  engine_->GetSession(Name("a"), [waiting](absl::StatusOr<SessionInfo> info) {
    EXPECT_EQ(info.status().code(), absl::StatusCode::kCancelled);
    waiting->Notify();
  });
  // The step under way waits, so that the call can not be answered before the end.
  std::thread release([this] {
    absl::SleepFor(absl::Milliseconds(50));
    model_->Release();
  });
  engine_.reset();
  release.join();
  EXPECT_TRUE(waiting->HasBeenNotified());
  EXPECT_EQ(Read(**reader).error.code(), absl::StatusCode::kCancelled);
}

TEST_F(EngineGenerateTest, TheHeartbeatGoesOnWithoutWork) {
  Start();
  clock_seconds_ += 10;
  const absl::Time now = absl::FromUnixSeconds(clock_seconds_.load());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().heartbeat == now; }));
}

class CountingObserver : public EngineObserver {
 public:
  void OnStep(const Step& step) override {
    ++steps;
    decoded += step.decode_tokens;
    prefilled += step.prefill_tokens;
  }
  void OnQueued(double) override { ++queued; }
  void OnFirstToken(StartTier, double) override { ++first; }
  void OnInterToken(double) override { ++inter; }
  std::atomic<int64_t> steps{0}, decoded{0}, prefilled{0}, queued{0}, first{0}, inter{0};
};

TEST_F(EngineGenerateTest, TheObserverHearsOfEveryToken) {
  CountingObserver observer;
  Start(SmallLimits(), nullptr, &observer);
  EXPECT_TRUE(Answer(Spec("", std::string(40, 'x'), 5)).finish.has_value());
  engine_.reset();
  EXPECT_EQ(observer.steps, 6);
  EXPECT_EQ(observer.prefilled, 40);
  EXPECT_EQ(observer.decoded, 4);
  EXPECT_EQ(observer.queued, 1);
  EXPECT_EQ(observer.first, 1);
  EXPECT_EQ(observer.inter, 4);
}

}  // namespace
}  // namespace eidetic
