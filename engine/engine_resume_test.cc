#include <gmock/gmock.h>

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

class EngineResumeTest : public EngineTest {
 protected:
  static GenerateSpec Named(std::string session, int32_t max_tokens = 10, int64_t resume_from = 0) {
    GenerateSpec spec = Spec(std::move(session), "tell me", max_tokens);
    spec.seed.reset();
    spec.request_id = "r1";
    spec.fingerprint = "body";
    spec.resume_from = resume_from;
    return spec;
  }

  // Reads `tokens` tokens of `spec`, then leaves; the step under way may add some.
  Told ReadAndLeave(const GenerateSpec& spec, int64_t tokens) {
    model_->Hold();
    model_->Allow(tokens);
    auto reader = Generate(spec);
    EXPECT_TRUE(reader.ok()) << reader.status();
    Told told = Read(**reader, tokens);
    reader->reset();
    model_->Release();
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().running == 0; }));
    return told;
  }
};

TEST_F(EngineResumeTest, ARetryWhileItRunsAttaches) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  model_->Hold();
  auto first = Generate(Named("a"));
  ASSERT_TRUE(first.ok());
  auto second = Wait<absl::StatusOr<Reader>>([&](auto done) {
    engine_->Generate(Named("a"), done);
    model_->Release();
  });
  ASSERT_TRUE(second.ok()) << second.status();
  const Told one = Read(**first);
  const Told two = Read(**second);
  ASSERT_TRUE(one.finish);
  EXPECT_EQ(one.text(), two.text());
  EXPECT_EQ(one.start->seed, two.start->seed);
  EXPECT_EQ(Get("a")->position, 17) << "the prompt was appended once";
}

TEST_F(EngineResumeTest, ARetryAfterTheEndReplays) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  for (const char* id : {"a", ""}) {
    const Told one = Answer(Named(id));
    ASSERT_TRUE(one.finish);
    const size_t steps = model_->steps().size();
    const Told two = Answer(Named(id, 10, 4));
    ASSERT_TRUE(two.finish);
    EXPECT_EQ(two.start->seed, one.start->seed);
    ASSERT_EQ(two.tokens.size(), 6u);
    EXPECT_EQ(two.tokens[0].sequence_number, 5);
    EXPECT_EQ(two.tokens[5].token.token, one.tokens[9].token.token);
    EXPECT_EQ(model_->steps().size(), steps) << "nothing is computed";
  }
}

TEST_F(EngineResumeTest, TheSameIdWithAnotherBodyIsRefused) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  EXPECT_TRUE(Answer(Named("a")).finish.has_value());
  GenerateSpec other = Named("a");
  other.fingerprint = "another body";
  EXPECT_EQ(Generate(other).status().code(), absl::StatusCode::kInvalidArgument);
  // Ids are the session's own; and those without a session the tenant's.
  other.session = Name("b");
  EXPECT_TRUE(Answer(other).finish.has_value());
  other.session.reset();
  EXPECT_TRUE(Answer(other).finish.has_value());
  other.tenant = "another";
  other.fingerprint = "a third body";
  EXPECT_TRUE(Answer(other).finish.has_value());
}

TEST_F(EngineResumeTest, ALeftStreamStopsAndKeepsWhatWasTold) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  const Told told = ReadAndLeave(Spec("a", "tell me", 200), 3);
  ASSERT_TRUE(WaitUntilFree("a"));
  EXPECT_GE(Get("a")->position, 10);
  EXPECT_LT(Get("a")->position, 200);
  EXPECT_TRUE(Answer(Spec("a", "more")).finish.has_value());
}

TEST_F(EngineResumeTest, AnInterruptedAnswerGoesOnWhereItBroke) {
  Start();
  ASSERT_TRUE(Create("whole").ok());
  ASSERT_TRUE(Create("a").ok());
  GenerateSpec spec = Named("whole", 40);
  spec.seed = 9;
  spec.stop_strings = {"never to be found"};
  const Told whole = Answer(spec);
  spec.session = Name("a");
  const Told told = ReadAndLeave(spec, 3);
  ASSERT_TRUE(WaitUntilFree("a"));
  ASSERT_LT(Get("a")->position, 47);
  spec.resume_from = 3;
  const Told rest = Answer(spec);
  ASSERT_TRUE(rest.finish) << rest.error;
  EXPECT_EQ(rest.tokens.front().sequence_number, 4);
  EXPECT_EQ(told.text() + rest.text(), whole.text());
  EXPECT_EQ(rest.finish->generated_tokens, 40);
  EXPECT_EQ(rest.finish->position, 47);
}

TEST_F(EngineResumeTest, AnInterruptedPromptGoesOnToo) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  GenerateSpec spec = Named("a", 5);
  spec.seed = 3;
  spec.prompt = Ids(std::string(200, 'p'));
  GenerateSpec alone = spec;
  alone.session.reset();
  alone.settings = SmallSettings();
  const Told whole = Answer(alone);
  ReadAndLeave(spec, 0);
  ASSERT_TRUE(WaitUntilFree("a"));
  const Told rest = Answer(spec);
  ASSERT_TRUE(rest.finish) << rest.error;
  EXPECT_EQ(rest.text(), whole.text());
  EXPECT_EQ(Get("a")->position, 205);
}

TEST_F(EngineResumeTest, AMovedSessionIsReplayedThenRefused) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  const Told told = ReadAndLeave(Named("a", 50), 3);
  ASSERT_TRUE(WaitUntilFree("a"));
  Pour("a", "something else");
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Told replayed = Answer(Named("a", 50));
    EXPECT_EQ(replayed.error.code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(replayed.error.message()), HasSubstr("moved on"));
    ASSERT_GE(replayed.tokens.size(), 3u);
    EXPECT_EQ(replayed.tokens[2].token.token, told.tokens[2].token.token);
  }
}

TEST_F(EngineResumeTest, AnInterruptedAnswerWithoutASessionGoesOn) {
  Start();
  GenerateSpec spec = Named("", 40);
  spec.seed = 9;
  spec.request_id = "";
  const Told whole = Answer(spec);
  spec.request_id = "r1";
  const Told told = ReadAndLeave(spec, 3);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().slots_used == 0; }));
  spec.resume_from = 3;
  const Told rest = Answer(spec);
  ASSERT_TRUE(rest.finish) << rest.error;
  EXPECT_EQ(rest.tokens.front().sequence_number, 4);
  EXPECT_EQ(told.text() + rest.text(), whole.text());
}

TEST_F(EngineResumeTest, ResumeFromIsChecked) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  EXPECT_EQ(Generate(Named("a", 10, 2)).status().code(), absl::StatusCode::kNotFound);
  GenerateSpec nameless = Named("a", 10, 2);
  nameless.request_id = "";
  EXPECT_EQ(Generate(nameless).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get("a")->position, 0);
  EXPECT_TRUE(Answer(Named("a")).finish.has_value());
  EXPECT_EQ(Generate(Named("a", 10, 11)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Generate(Named("a", 10, -1)).status().code(), absl::StatusCode::kInvalidArgument);
  const Told nothing_new = Answer(Named("a", 10, 10));
  EXPECT_TRUE(nothing_new.tokens.empty());
  EXPECT_TRUE(nothing_new.finish.has_value());
}

TEST_F(EngineResumeTest, ARequestIsForgottenAfterItsRetention) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  for (const char* id : {"a", ""}) EXPECT_TRUE(Answer(Named(id)).finish.has_value());
  clock_seconds_ += 25 * 3600;
  for (const char* id : {"a", ""}) {
    EXPECT_TRUE(Eventually(
        [&] { return Generate(Named(id, 10, 2)).status().code() == absl::StatusCode::kNotFound; }));
  }
}

TEST_F(EngineResumeTest, OneSessionRemembersOnlySoManyRequests) {
  EngineLimits limits = SmallLimits();
  limits.max_requests_per_session = 2;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  for (const char* id : {"r1", "r2", "r3"}) {
    GenerateSpec spec = Named("a");
    spec.request_id = id;
    EXPECT_TRUE(Answer(spec).finish.has_value());
    ++clock_seconds_;
  }
  EXPECT_EQ(Generate(Named("a", 10, 1)).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace eidetic
