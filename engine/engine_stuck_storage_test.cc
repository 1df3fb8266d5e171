#include <gmock/gmock.h>

#include <filesystem>

#include "engine/engine_fixture.h"
#include "memory/durable/faulty_env.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

// The disk neither takes what is written nor fails: a sync does not come back.
class EngineStuckStorageTest : public EngineTest {
 protected:
  void SetUp() override {
    journal_.folder = std::filesystem::path(testing::TempDir()) /
                      testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(journal_.folder);
    journal_.env = disk_.env();
  }
  void TearDown() override {
    disk_.ReleaseSyncs();
    EngineTest::TearDown();
  }

  static EngineLimits Limits() {
    EngineLimits limits = SmallLimits();
    limits.max_reader_lag_events = kLag;
    return limits;
  }

  // Begins an answer; its reader comes once that is durable.
  struct Pending {
    absl::Notification told;
    absl::StatusOr<Reader> reader;
  };
  std::shared_ptr<Pending> Begin(GenerateSpec spec) {
    auto pending = std::make_shared<Pending>();
    engine_->Generate(std::move(spec), [pending](absl::StatusOr<Reader> reader) {
      pending->reader = std::move(reader);
      pending->told.Notify();
    });
    return pending;
  }

  int64_t Drawn() const {
    int64_t drawn = 0;
    for (const auto& step : model_->steps()) {
      for (const auto& chunk : step) drawn += chunk.output == ChunkOutput::kSample;
    }
    return drawn;
  }

  static GenerateSpec Named(std::string session, int32_t max_tokens) {
    GenerateSpec spec = Spec(std::move(session), "tell me", max_tokens);
    spec.request_id = "r";
    spec.fingerprint = "body";
    return spec;
  }

  static constexpr int32_t kLag = 10;
  memory::FaultyEnv disk_;
};

TEST_F(EngineStuckStorageTest, StepsGoOnWithoutASyncUntilTheStreamIsTooFarBehind) {
  Start(Limits());
  for (const char* id : {"a", "twin", "other"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(40, 'x'));
  }
  const Told expected = Answer(Spec("twin", "tell me", 50));
  const int64_t before = Drawn();
  disk_.HoldSyncs();
  const auto pending = Begin(Spec("a", "tell me", 50));
  EXPECT_TRUE(Eventually([&] { return Drawn() - before >= kLag; }));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_LE(Drawn() - before, kLag + 1) << "it got ahead without end";
  EXPECT_FALSE(pending->told.HasBeenNotified()) << "told before it was durable";
  // The others are served meanwhile.
  EXPECT_EQ(Get("other")->position, 40);
  EXPECT_TRUE(Score("other", "read only").ok());
  EXPECT_TRUE(Search("other", "x").ok());
  EXPECT_EQ(disk_.held_syncs(), 1);
  disk_.ReleaseSyncs();
  ASSERT_TRUE(pending->told.WaitForNotificationWithTimeout(absl::Seconds(30)));
  ASSERT_TRUE(pending->reader.ok()) << pending->reader.status();
  const Told told = Read(**pending->reader);
  ASSERT_TRUE(told.finish) << told.error;
  EXPECT_EQ(told.text(), expected.text());
  for (size_t i = 0; i < told.tokens.size(); ++i) {
    EXPECT_EQ(told.tokens[i].sequence_number, static_cast<int64_t>(i) + 1);
  }
}

TEST_F(EngineStuckStorageTest, ACrashBetweenStepsAndTheirSyncLosesNothingTold) {
  constexpr int32_t kTokens = 40;
  Start(Limits());
  for (const char* id : {"a", "twin"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(40, 'x'));
  }
  const Told expected = Answer(Named("twin", kTokens));
  ASSERT_TRUE(expected.finish);
  model_->Hold();
  model_->Allow(5);
  auto reader = Generate(Named("a", kTokens));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const Told told = Read(**reader, 5);
  ASSERT_EQ(told.tokens.size(), 5u);
  const int64_t before = Drawn();
  disk_.HoldSyncs();
  model_->Release();
  EXPECT_TRUE(Eventually([&] { return Drawn() - before >= kLag; }));
  EXPECT_FALSE((*reader)->TryNext()) << "told before it was durable";
  // The machine goes before the sync has done anything.
  disk_.FailAfter(0, memory::DiskFault::kIoError);
  disk_.ReleaseSyncs();
  const Told then = Read(**reader);
  EXPECT_TRUE(then.tokens.empty());
  EXPECT_EQ(then.error.code(), absl::StatusCode::kUnavailable) << then.error;
  reader->reset();
  engine_.reset();
  disk_.Heal();
  std::mt19937_64 random(11);
  disk_.Crash(&random);
  Start(Limits());
  GenerateSpec rest = Named("a", kTokens);
  rest.resume_from = 5;
  const Told resumed = Answer(rest);
  ASSERT_TRUE(resumed.finish) << resumed.error;
  ASSERT_EQ(resumed.tokens.size(), expected.tokens.size() - 5);
  for (size_t i = 0; i < expected.tokens.size(); ++i) {
    const TokenEvent& event = i < 5 ? told.tokens[i] : resumed.tokens[i - 5];
    EXPECT_EQ(event.token.token, expected.tokens[i].token.token) << i;
    EXPECT_EQ(event.sequence_number, static_cast<int64_t>(i) + 1);
  }
}

TEST_F(EngineStuckStorageTest, WhatWouldChangeSomethingIsRefusedWhileTooMuchWaits) {
  EngineLimits limits = Limits();
  limits.max_journal_waiting_bytes = 500;
  Start(limits);
  for (const char* id : {"a", "c"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(40, 'x'));
  }
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok()) << stream.status();
  disk_.HoldSyncs();
  auto first = std::make_shared<absl::Notification>();
  (*stream)->Append(Ids(std::string(600, 'y')), std::nullopt, [first](auto position) {
    EXPECT_TRUE(position.ok()) << position.status();
    first->Notify();
  });
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().journal_waiting_bytes > 500; }));
  for (const absl::Status& refused :
       {Append(**stream, "more").status(), Create("b").status(), Delete("c"),
        Generate(Spec("", "hi")).status(), Fork("c", "child").status()}) {
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("bytes wait for the disk"));
  }
  EXPECT_TRUE(Get("a").ok());
  EXPECT_TRUE(Score("a", "read only").ok());
  EXPECT_FALSE(first->HasBeenNotified());
  disk_.ReleaseSyncs();
  EXPECT_TRUE(first->WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_TRUE(Create("b").ok());
  EXPECT_EQ(*Append(**stream, "more"), 644);
}

}  // namespace
}  // namespace eidetic
