#include <gmock/gmock.h>

#include <filesystem>

#include "engine/durable/session_keys.h"
#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

class EngineDurableTest : public EngineTest {
 protected:
  void SetUp() override {
    journal_.folder = std::filesystem::path(testing::TempDir()) /
                      testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(journal_.folder);
  }

  // As after a crash: the next engine has what the journal has.
  void Restart() {
    model_->Release();
    engine_.reset();
    Start();
  }

  static GenerateSpec Named(std::string session, std::string id, int32_t max_tokens = 10) {
    GenerateSpec spec = Spec(std::move(session), "tell me", max_tokens);
    spec.request_id = std::move(id);
    spec.fingerprint = "body";
    return spec;
  }

  // Reads `tokens` tokens, then leaves.
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

  static std::vector<TokenId> TokensOf(const Told& told) {
    std::vector<TokenId> tokens;
    for (const TokenEvent& event : told.tokens) tokens.push_back(event.token.token);
    return tokens;
  }
};

TEST_F(EngineDurableTest, ASessionGoesOnAsIfNothingHadHappened) {
  Start();
  for (const char* id : {"a", "twin"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(70, 'x'));
    Pour(id, "and more");
    ASSERT_TRUE(Answer(Spec(id, "one", 5)).finish);
  }
  const Told expected = Answer(Spec("twin", "two", 12));
  const SessionInfo before = *Get("a");
  Restart();
  const SessionInfo after = *Get("a");
  EXPECT_EQ(after.position, before.position);
  EXPECT_EQ(after.settings.span_blocks, before.settings.span_blocks);
  EXPECT_EQ(after.create_time, before.create_time);
  EXPECT_EQ(after.computed, 0) << "asleep";
  EXPECT_EQ(after.memory_bytes, 0);
  const Told told = Answer(Spec("a", "two", 12));
  ASSERT_TRUE(told.finish) << told.error;
  EXPECT_EQ(TokensOf(told), TokensOf(expected));
  EXPECT_EQ(told.text(), expected.text());
}

TEST_F(EngineDurableTest, AnAnswerIsToldAgainAndComputedNever) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(200, 'y'));
  for (const char* id : {"a", ""}) {
    GenerateSpec spec = Named(id, "r1");
    spec.seed.reset();
    spec.token_blocks = true;
    const Told one = Answer(spec);
    ASSERT_TRUE(one.finish);
    Restart();
    const Told two = Answer(spec);
    ASSERT_TRUE(two.finish) << two.error;
    EXPECT_EQ(two.start->seed, one.start->seed);
    EXPECT_EQ(two.start->position, one.start->position);
    EXPECT_EQ(TokensOf(two), TokensOf(one));
    EXPECT_EQ(two.text(), one.text());
    EXPECT_EQ(two.finish->position, one.finish->position);
    EXPECT_EQ(two.finish->passages.size(), one.finish->passages.size());
    for (size_t i = 0; i < one.tokens.size(); ++i) {
      EXPECT_EQ(two.tokens[i].blocks, one.tokens[i].blocks);
      EXPECT_EQ(two.tokens[i].token.logprob, one.tokens[i].token.logprob);
    }
    EXPECT_EQ(model_->steps().size(), 0u);
    GenerateSpec other = spec;
    other.fingerprint = "another";
    EXPECT_EQ(Generate(other).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(EngineDurableTest, AnInterruptedAnswerIsTakenUpWhereItBroke) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  for (const char* id : {"a", ""}) {
    GenerateSpec whole = Named(id, "whole", 20);
    if (*id != 0) {
      ASSERT_TRUE(Fork("a", "twin").ok());
      whole.session = Name("twin");
    }
    const Told expected = Answer(whole);
    const Told begun = ReadAndLeave(Named(id, "broken", 20), 6);
    ASSERT_EQ(begun.tokens.size(), 6u);
    Restart();
    GenerateSpec rest = Named(id, "broken", 20);
    rest.resume_from = 6;
    const Told told = Answer(rest);
    ASSERT_TRUE(told.finish) << told.error;
    std::vector<TokenId> tokens = TokensOf(begun);
    for (TokenId token : TokensOf(told)) tokens.push_back(token);
    EXPECT_EQ(tokens, TokensOf(expected));
    EXPECT_EQ(told.tokens.front().sequence_number, 7);
  }
}

TEST_F(EngineDurableTest, ARequestThatTheSessionOvertookEnds) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ReadAndLeave(Named("a", "broken", 20), 3);
  Pour("a", "something else");
  Restart();
  EXPECT_EQ(Answer(Named("a", "broken", 20)).error.code(), absl::StatusCode::kAborted);
  Restart();
  EXPECT_EQ(Answer(Named("a", "broken", 20)).error.code(), absl::StatusCode::kAborted);
}

TEST_F(EngineDurableTest, ACreationIsRepeatedAcrossARestart) {
  Start();
  const auto one = Create("a", "id", "body");
  ASSERT_TRUE(one.ok());
  Restart();
  const auto two = Create("ignored", "id", "body");
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->name, one->name);
  EXPECT_EQ(Create("b", "id", "other").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineDurableTest, AForkKeepsItsPastWhenItsParentGoes) {
  Start();
  ASSERT_TRUE(Create("parent").ok());
  Pour("parent", std::string(40, 'p'));
  ASSERT_TRUE(Fork("parent", "child").ok());
  ASSERT_TRUE(Fork("child", "twin").ok());
  Pour("parent", "of the parent alone");
  Pour("child", "of the child alone");
  Pour("twin", "of the child alone");
  const Told expected = Answer(Spec("twin", "go", 9));
  ASSERT_TRUE(Delete("parent").ok());
  Restart();
  EXPECT_EQ(Get("parent").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Create("parent").ok()) << "the name is free, and none of its past is there";
  EXPECT_EQ(Get("parent")->position, 0);
  Restart();
  EXPECT_EQ(Get("parent")->position, 0);
  const Told told = Answer(Spec("child", "go", 9));
  ASSERT_TRUE(told.finish) << told.error;
  EXPECT_EQ(TokensOf(told), TokensOf(expected));
}

TEST_F(EngineDurableTest, ManySessionsAreThereThoughFewFitTheMemory) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_state_slots = 4;
  for (int round = 0; round < 4; ++round) {
    Start(limits);
    for (int i = 0; i < 2; ++i) {
      const std::string id = "s" + std::to_string(2 * round + i);
      ASSERT_TRUE(Create(id).ok());
      Pour(id, "text of " + id);
    }
    engine_.reset();
  }
  Start(limits);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Get("s" + std::to_string(i))->position, 10);
  }
  EXPECT_EQ(engine_->Stats().slots_used, 0);
  EXPECT_TRUE(Answer(Spec("s5", "go", 3)).finish);
}

TEST_F(EngineDurableTest, AnotherModelsFolderIsRefused) {
  {
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok()) << journal.status();
    memory::JournalBatch batch;
    batch.Put("b/model", "another");
    ASSERT_TRUE((*journal)->Commit(std::move(batch)).ok());
  }
  auto journal = memory::Journal::Open(journal_);
  ASSERT_TRUE(journal.ok());
  const auto engine = CreateEngine({.model = std::make_unique<FakeModel>(300),
                                    .tokenizer = std::make_unique<FakeTokenizer>(),
                                    .arena = &arena_,
                                    .indexer = &indexer_,
                                    .journal = *std::move(journal),
                                    .options = {.limits = SmallLimits()}});
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("data_folder"));
}

// A record that is gone is its session's damage alone.
TEST_F(EngineDurableTest, ADamagedSessionIsShownAndTheOthersServe) {
  Start();
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, "first");
    Pour(id, "second");
  }
  engine_.reset();
  {
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok());
    std::string victim;
    ASSERT_TRUE((*journal)
                    ->Scan("t/", "t/",
                           [&](std::string_view key, std::string_view) {
                             victim = std::string(key);  // of session a: logs are in order
                             return false;
                           })
                    .ok());
    memory::JournalBatch batch;
    batch.Delete(victim);
    ASSERT_TRUE((*journal)->Commit(std::move(batch)).ok());
  }
  Start();
  EXPECT_THAT(Get("a")->damage, HasSubstr("tokens are missing"));
  EXPECT_EQ(Get("b")->position, 11);
}

// What it left in the journal is nobody else's.
TEST_F(EngineDurableTest, ADamagedSessionsLogIsNotWrittenByAnother) {
  Start();
  ASSERT_TRUE(Create("damaged").ok());
  Pour("damaged", "first");
  Pour("damaged", "second");
  engine_.reset();
  {
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok());
    memory::JournalBatch batch;
    batch.Delete(KeyOfRun(1, 0));
    ASSERT_TRUE((*journal)->Commit(std::move(batch)).ok());
  }
  Start();
  EXPECT_FALSE(Get("damaged")->damage.empty());
  ASSERT_TRUE(Create("new").ok());
  Pour("new", "longer than the first");
  Restart();
  const auto info = Get("new");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->position, 21);
}

}  // namespace
}  // namespace eidetic
