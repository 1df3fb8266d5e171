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

  // What a client would do after a restart: asks for the rest.
  void CheckAfterCrash(bool created, bool appended, const Told& told, const Told& expected,
                       int32_t max_tokens) {
    const auto info = Get("a");
    EXPECT_TRUE(info.ok() || !created) << info.status();
    if (!info.ok()) return;
    EXPECT_TRUE(info->position >= 40 || !appended) << "at " << info->position;
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
    Told told;
    const bool created = Create("a").ok();
    bool appended = false;
    if (created) {
      auto stream = OpenAppend("a");
      appended = stream.ok() && Append(**stream, std::string(40, 'x')).ok();
      if (appended) {
        stream->reset();
        Eventually([&] { return !Get("a").ok() || !Get("a")->busy; });
        told = Answer(Named("a", "r", kTokens));
      }
    }
    if (told.finish) ++finished;
    engine_.reset();
    disk_.Heal();
    disk_.Crash(&random);
    Start();
    CheckAfterCrash(created, appended, told, expected, kTokens);
    engine_.reset();
  }
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
