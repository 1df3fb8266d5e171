// Rewind, snapshot, restore, export and import, with and without restarts. The fake model's hash
// shows every wrong token and chunk border.
#include <algorithm>

#include "engine/restart_fixture.h"

namespace eidetic {
namespace {

class EngineOperationsTest : public RestartTest {
 protected:
  static GenerateSpec Named(std::string session, std::string id, int32_t max_tokens = 10) {
    GenerateSpec spec = Spec(std::move(session), "tell me", max_tokens);
    spec.request_id = std::move(id);
    spec.fingerprint = "body";
    return spec;
  }

  // How the session goes on.
  std::vector<TokenId> GoOn(const std::string& id) {
    Pour(id, "and then");
    const Told told = Answer(Spec(id, "what?", 12));
    EXPECT_TRUE(told.finish) << told.error;
    return TokensOf(told);
  }

  // 40 + 30 appended, "one" appended, 5 generated.
  void BuildPast(const std::string& id) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(40, 'x'));
    Pour(id, std::string(30, 'y'));
    ASSERT_TRUE(Answer(Spec(id, "one", 5)).finish);
  }
  // A session whose past was never longer than `end` of those tokens.
  void BuildShortPast(const std::string& id, memory::Position end) {
    ASSERT_TRUE(Create(id).ok());
    if (end > 0) Pour(id, std::string(std::min<int64_t>(end, 40), 'x'));
    if (end > 40) Pour(id, std::string(std::min<int64_t>(end - 40, 30), 'y'));
    if (end > 73) {
      ASSERT_TRUE(Answer(Spec(id, "one", static_cast<int32_t>(end - 73))).finish);
    } else if (end > 70) {
      Pour(id, std::string("one").substr(0, end - 70));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Restarts, EngineOperationsTest, testing::Bool());

TEST_P(EngineOperationsTest, ARewoundSessionIsOneThatNeverWentOn) {
  Start();
  // Nothing, one token, within and at chunks' and appends' ends, within an answer, all.
  for (const int end : {0, 1, 31, 32, 33, 40, 41, 64, 65, 70, 72, 73, 75, 78}) {
    const std::string id = "s" + std::to_string(end), twin = "twin" + std::to_string(end);
    BuildPast(id);
    BuildShortPast(twin, end);
    MaybeRestart();
    const auto info = Rewind(id, end, 78);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->position, end);
    MaybeRestart();
    EXPECT_EQ(Get(id)->position, end);
    EXPECT_EQ(GoOn(id), GoOn(twin)) << end;
    ASSERT_TRUE(Delete(id).ok());
    ASSERT_TRUE(Delete(twin).ok());
  }
}

TEST_P(EngineOperationsTest, WhatIsComputedStaysWhenTheLogStillSaysIt) {
  Start();
  BuildPast("a");
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Rewind("a", 10).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Snapshot("a", "x").status().code(), absl::StatusCode::kAborted);
  ASSERT_TRUE(Drain(**stream).ok());
  model_->Hold();
  model_->Allow(2);
  ASSERT_TRUE(Append(**stream, std::string(200, 'z')).ok());
  stream->reset();
  model_->Release();
  ASSERT_TRUE(WaitUntilFree("a"));
  const memory::Position computed = Get("a")->computed;
  ASSERT_LT(computed, 270);
  ASSERT_GT(computed, 70);
  EXPECT_EQ(Rewind("a", 270)->computed, computed);
  EXPECT_EQ(Rewind("a", 10)->computed, 0);
  EXPECT_EQ(Get("a")->tier, SessionTier::kAsleep);
}

TEST_P(EngineOperationsTest, RefusalsChangeNothing) {
  EngineLimits limits = SmallLimits();
  limits.max_snapshots_per_session = 2;
  Start(limits);
  BuildPast("a");
  EXPECT_EQ(Rewind("a", 79).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Rewind("a", -1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Rewind("a", 3, 77).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Rewind("b", 0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Restore("a", "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Export("a", "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DeleteSnapshot("a", "none").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Snapshot("a", "one").ok());
  EXPECT_EQ(Snapshot("a", "one").status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(Snapshot("a", "two").ok());
  EXPECT_EQ(Snapshot("a", "three").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Import("a", {}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Get("a")->position, 78);
}

TEST_P(EngineOperationsTest, RequestsBeyondAreForgottenAndTheOthersTold) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  const Told first = Answer(Named("a", "first"));
  ASSERT_TRUE(first.finish);
  ASSERT_TRUE(Answer(Named("a", "second")).finish);
  const memory::Position end = first.finish->position;
  ASSERT_TRUE(Rewind("a", end).ok());
  MaybeRestart();
  EXPECT_EQ(TokensOf(Answer(Named("a", "first"))), TokensOf(first));
  GenerateSpec other = Named("a", "second", 3);
  other.fingerprint = "another";
  EXPECT_EQ(Answer(other).tokens.size(), 3u) << "the id is free again";
  ASSERT_TRUE(Rewind("a", end - 1).ok());
  MaybeRestart();
  EXPECT_EQ(Get("a")->position, end - 1);
  GenerateSpec anew = Named("a", "first");
  anew.fingerprint = "another";
  EXPECT_TRUE(Answer(anew).finish);
}

TEST_P(EngineOperationsTest, AnInterruptedAnswerGoesOnWhenTheSessionIsBackWhereItBroke) {
  Start();
  for (const char* id : {"a", "twin"}) ASSERT_TRUE(Create(id).ok());
  const Told whole = Answer(Named("twin", "r", 20));
  model_->Hold();
  model_->Allow(4);
  auto reader = Generate(Named("a", "r", 20));
  ASSERT_TRUE(reader.ok());
  ASSERT_GE(Read(**reader, 3).tokens.size(), 3u);
  reader->reset();
  model_->Release();
  ASSERT_TRUE(WaitUntilFree("a"));
  const memory::Position broke = Get("a")->position;
  Pour("a", "something else");
  MaybeRestart();
  ASSERT_TRUE(Rewind("a", broke).ok());
  MaybeRestart();
  EXPECT_EQ(TokensOf(Answer(Named("a", "r", 20))), TokensOf(whole));
}

TEST_P(EngineOperationsTest, ASnapshotOutlivesWhateverTheSessionBecomes) {
  Start();
  BuildPast("a");
  BuildPast("twin");
  ASSERT_TRUE(Snapshot("a", "before").ok());
  const std::vector<TokenId> expected = GoOn("twin");
  EXPECT_EQ(GoOn("a"), expected);
  ASSERT_TRUE(Snapshot("a", "after").ok());
  MaybeRestart();
  ASSERT_TRUE(Rewind("a", 33).ok());
  Pour("a", "another way altogether");
  ASSERT_TRUE(Snapshot("a", "other").ok());
  MaybeRestart();
  EXPECT_EQ(Restore("a", "before")->position, 78);
  MaybeRestart();
  EXPECT_EQ(GoOn("a"), expected);
  ASSERT_TRUE(Restore("a", "other").ok());
  MaybeRestart();
  EXPECT_EQ(Get("a")->position, 55);
  BuildShortPast("short", 33);
  Pour("short", "another way altogether");
  EXPECT_EQ(GoOn("a"), GoOn("short"));
  ASSERT_TRUE(DeleteSnapshot("a", "before").ok());
  MaybeRestart();
  EXPECT_EQ(Restore("a", "before").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Restore("a", "after").ok());
  EXPECT_EQ(GoOn("a"), GoOn("twin"));
}

TEST_P(EngineOperationsTest, AForkAndItsParentRewindEachForItself) {
  Start();
  BuildPast("a");
  ASSERT_TRUE(Fork("a", "child").ok());
  ASSERT_TRUE(Fork("a", "grandchild").ok());
  ASSERT_TRUE(Rewind("a", 20).ok());
  MaybeRestart();
  ASSERT_TRUE(Rewind("child", 75).ok());
  BuildShortPast("twin", 75);
  MaybeRestart();
  EXPECT_EQ(GoOn("child"), GoOn("twin"));
  ASSERT_TRUE(Delete("a").ok());
  BuildPast("other");
  MaybeRestart();
  EXPECT_EQ(GoOn("grandchild"), GoOn("other"));
}

TEST_P(EngineOperationsTest, AnImportGoesOnWithTheSameTokens) {
  Start();
  BuildPast("a");
  ASSERT_TRUE(Snapshot("a", "point").ok());
  const auto exported = Export("a");
  ASSERT_TRUE(exported.ok());
  const std::vector<TokenId> expected = GoOn("a");
  const auto imported = Import("b", *exported);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->position, 78);
  EXPECT_EQ(imported->computed, 0);
  EXPECT_EQ(imported->settings.window_tokens, SmallSettings().window_tokens);
  MaybeRestart();
  EXPECT_EQ(GoOn("b"), expected);
  ASSERT_TRUE(Import("c", *Export("a", "point")).ok());
  EXPECT_EQ(GoOn("c"), expected);
}

TEST_P(EngineOperationsTest, NothingIsLeftWhenTheSessionsAreGone) {
  Start();
  BuildPast("a");
  ASSERT_TRUE(Answer(Named("a", "r")).finish);
  ASSERT_TRUE(Snapshot("a", "x").ok());
  ASSERT_TRUE(Rewind("a", 12).ok());
  ASSERT_TRUE(Fork("a", "b").ok());
  ASSERT_TRUE(Restore("a", "x").ok());
  ASSERT_TRUE(Snapshot("a", "y").ok());
  MaybeRestart();
  ASSERT_TRUE(Restore("a", "x").ok());
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Delete("b").ok());
  ExpectEmptyJournal();
}

}  // namespace
}  // namespace eidetic
