#include <gtest/gtest.h>

#include <filesystem>

#include "engine/engine_fixture.h"
#include "memory/durable/faulty_env.h"

namespace eidetic {
namespace {

class EngineStorageFaultTest : public EngineTest {
 protected:
  void SetUp() override {
    journal_.folder = std::filesystem::path(testing::TempDir()) /
                      testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(journal_.folder);
    journal_.env = disk_.env();
  }

  static GenerateSpec Named(std::string session, std::string id, int32_t max_tokens) {
    GenerateSpec spec = Spec(std::move(session), "tell me", max_tokens);
    spec.request_id = std::move(id);
    spec.fingerprint = "body";
    return spec;
  }

  // What a client was told.
  struct Life {
    absl::Status created, appended = absl::CancelledError();
    Told told;
    // Why it went no further.
    absl::Status end() const {
      if (!created.ok()) return created;
      return appended.ok() ? told.error : appended;
    }
  };

  Life Live(int32_t max_tokens) {
    Life life;
    life.created = Create("a").status();
    if (!life.created.ok()) return life;
    auto stream = OpenAppend("a");
    life.appended = stream.status();
    if (life.appended.ok()) {
      life.appended = Append(**stream, std::string(40, 'x')).status();
      stream->reset();
    }
    if (!life.appended.ok()) return life;
    Eventually([&] { return !Get("a").ok() || !Get("a")->busy; });
    life.told = Answer(Named("a", "r", max_tokens));
    return life;
  }

  // What a client would do after it all: asks for the rest.
  void CheckAfter(const Life& life, const Told& expected, int32_t max_tokens) {
    const Told& told = life.told;
    const auto info = Get("a");
    EXPECT_TRUE(info.ok() || !life.created.ok()) << info.status();
    if (!info.ok()) return;
    EXPECT_TRUE(info->position >= 40 || !life.appended.ok()) << "at " << info->position;
    if (info->position < 40) return;
    GenerateSpec rest = Named("a", "r", max_tokens);
    rest.resume_from = static_cast<int64_t>(told.tokens.size());
    const Told then = Answer(rest);
    if (!told.start && !then.finish) return;  // never acknowledged
    ASSERT_TRUE(then.finish) << then.error;
    ASSERT_EQ(told.tokens.size() + then.tokens.size(), expected.tokens.size());
    for (size_t i = 0; i < expected.tokens.size(); ++i) {
      const TokenEvent& event =
          i < told.tokens.size() ? told.tokens[i] : then.tokens[i - told.tokens.size()];
      EXPECT_EQ(event.token.token, expected.tokens[i].token.token) << i;
      EXPECT_EQ(event.sequence_number, static_cast<int64_t>(i) + 1);
    }
  }

  memory::FaultyEnv disk_;
};

// The disk dies at every change in turn; then the machine restarts.
TEST_F(EngineStorageFaultTest, WhatWasToldIsThereAfterADeathAtAnyWrite) {
  constexpr int32_t kTokens = 12;
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(40, 'x'));
  const Told expected = Answer(Named("a", "r", kTokens));
  ASSERT_TRUE(expected.finish);
  engine_.reset();
  std::mt19937_64 random(7);
  for (int64_t skip = 0, finished = 0; finished < 2; ++skip) {
    ASSERT_LT(skip, 500);
    journal_.folder += "x";  // a new folder each time
    Start();
    disk_.FailAfter(skip, memory::DiskFault::kIoError);
    const Life life = Live(kTokens);
    if (life.told.finish) ++finished;
    engine_.reset();
    disk_.Heal();
    disk_.Crash(&random);
    Start();
    CheckAfter(life, expected, kTokens);
    engine_.reset();
  }
}

// The disk fails at every change in turn; once it works again, so does the server.
TEST_F(EngineStorageFaultTest, AFailureAtAnyWriteOrSyncIsToldAndHealsWithoutARestart) {
  constexpr int32_t kTokens = 12;
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(40, 'x'));
  const Told expected = Answer(Named("a", "r", kTokens));
  int64_t failed = 0;
  for (const auto& [fault, code] :
       {std::pair(memory::DiskFault::kNoSpace, absl::StatusCode::kResourceExhausted),
        std::pair(memory::DiskFault::kIoError, absl::StatusCode::kUnavailable)}) {
    for (int64_t skip = 0, finished = 0; finished < 2 && !HasFailure(); ++skip) {
      SCOPED_TRACE(skip);
      ASSERT_LT(skip, 500);
      engine_.reset();
      journal_.folder += "x";  // a new folder each time
      Start();
      ASSERT_TRUE(Create("other").ok());
      Pour("other", std::string(40, 'x'));
      disk_.FailAfter(skip, fault);
      const Life life = Live(kTokens);
      finished += life.told.finish.has_value();
      if (!life.told.finish) {
        ++failed;
        EXPECT_EQ(life.end().code(), code) << life.end();
      }
      // What runs when the failure is found is ended; what comes then is served.
      EXPECT_TRUE(Eventually([&] { return Score("other", "read only").ok(); }));
      EXPECT_EQ(Get("other")->position, 40);
      disk_.Heal();
      EXPECT_TRUE(Eventually([&] {
        clock_seconds_ += 2;
        return Create("new").ok();
      }));
      CheckAfter(life, expected, kTokens);
      engine_.reset();
      Start();
      CheckAfter(life, expected, kTokens);
      EXPECT_TRUE(Get("new").ok());
    }
  }
  EXPECT_GT(failed, 20);
}

TEST_F(EngineStorageFaultTest, AFullDiskRefusesWritesServesReadsAndHealsWithoutARestart) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("twin").ok());
  for (const char* id : {"a", "twin"}) Pour(id, std::string(40, 'x'));
  const Told expected = Answer(Spec("twin", "more", 6));
  disk_.FailAfter(0, memory::DiskFault::kNoSpace);
  const Told refused = Answer(Spec("a", "more", 6));
  EXPECT_EQ(refused.error.code(), absl::StatusCode::kResourceExhausted) << refused.error;
  EXPECT_TRUE(refused.tokens.empty()) << "told before it was durable";
  EXPECT_EQ(Create("b").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Get("a").ok());
  EXPECT_TRUE(Score("a", "read only").ok());
  disk_.Heal();
  clock_seconds_ += 5;
  EXPECT_TRUE(Eventually([&] {
    clock_seconds_ += 2;
    return Create("c").ok();
  }));
  EXPECT_EQ(Get("a")->position, 40) << "what was refused is not there";
  const Told told = Answer(Spec("a", "more", 6));
  ASSERT_TRUE(told.finish) << told.error;
  EXPECT_EQ(told.text(), expected.text());
  engine_.reset();
  Start();
  EXPECT_EQ(Get("a")->position, Get("twin")->position);
  EXPECT_TRUE(Get("c").ok());
}

TEST_F(EngineStorageFaultTest, PointsOfThePastAreRefusedWholeOnAFullDisk) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("twin").ok());
  for (const char* id : {"a", "twin"}) Pour(id, std::string(40, 'x'));
  ASSERT_TRUE(Snapshot("a", "kept").ok());
  Pour("a", "and more");
  disk_.FailAfter(0, memory::DiskFault::kNoSpace);
  const absl::StatusCode full = absl::StatusCode::kResourceExhausted;
  EXPECT_EQ(Rewind("a", 3).status().code(), full);
  EXPECT_EQ(Snapshot("a", "refused").status().code(), full);
  EXPECT_EQ(Restore("a", "kept").status().code(), full);
  EXPECT_EQ(DeleteSnapshot("a", "kept").code(), full);
  EXPECT_EQ(Import("b", {.settings = memory::SettingsHistory(SmallSettings()), .log = {}})
                .status()
                .code(),
            full);
  disk_.Heal();
  EXPECT_TRUE(Eventually([&] {
    clock_seconds_ += 2;
    return Create("c").ok();
  }));
  EXPECT_EQ(Get("a")->position, 48) << "what was refused has not happened";
  EXPECT_EQ(Get("b").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Restore("a", "refused").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Restore("a", "kept").ok());
  EXPECT_EQ(Answer(Spec("a", "go", 6)).text(), Answer(Spec("twin", "go", 6)).text());
  engine_.reset();
  Start();
  EXPECT_EQ(Get("a")->position, Get("twin")->position);
}

}  // namespace
}  // namespace eidetic
