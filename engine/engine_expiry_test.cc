// Sessions that nothing uses for so long are deleted, wherever their memory is.
#include <gtest/gtest.h>

#include "engine/durable/session_keys.h"
#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

constexpr int kDay = 24 * 3600;

class EngineExpiryTest : public EngineCheckpointTest {
 protected:
  static EngineLimits ADay() {
    EngineLimits limits = SmallLimits();
    limits.expire_after = absl::Hours(24);
    limits.request_retention = absl::Hours(1);
    return limits;
  }
  bool IsGone(const std::string& id) { return absl::IsNotFound(Get(id).status()); }
  bool GoesSoon(const std::string& id) {
    return Eventually([&] { return IsGone(id); });
  }
  // The loop has turned, and has seen the clock.
  void Turn() {
    const absl::Time seen = absl::FromUnixSeconds(clock_seconds_);
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().heartbeat >= seen; }));
  }
  void ExpectNothingLeft() {
    Stop();
    int64_t files = 0;
    for (const auto& file : std::filesystem::directory_iterator(extents_))
      files += file.file_size();
    EXPECT_EQ(files, 0);
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok()) << journal.status();
    for (const std::string prefix : {"c/", "e/", "m/", "n/", "p/", "r/", "s/", "t/", "x/"}) {
      EXPECT_TRUE((*journal)
                      ->Scan(prefix, prefix,
                             [&](std::string_view key, std::string_view) {
                               ADD_FAILURE() << "left: " << key;
                               return true;
                             })
                      .ok());
    }
  }
};

TEST_F(EngineExpiryTest, AnUnusedSessionGoesWithAllThatIsKeptOfIt) {
  Start(ADay());
  ASSERT_TRUE(Create("awake").ok());
  ASSERT_TRUE(Create("asleep").ok());
  GenerateSpec spec = Spec("asleep", std::string(200, 'x'), 5);
  spec.request_id = "kept";
  ASSERT_TRUE(Answer(spec).finish);
  ASSERT_TRUE(WaitUntilFree("asleep"));
  ASSERT_TRUE(Snapshot("asleep", "point").ok());
  ASSERT_TRUE(CheckpointAll().ok());
  clock_seconds_ += 3600;
  ASSERT_TRUE(Eventually([&] { return Get("asleep")->tier == SessionTier::kAsleep; }));
  EXPECT_EQ(Get("asleep")->expire_after, absl::Hours(24));
  ASSERT_TRUE(Score("awake", "hello").ok());
  clock_seconds_ += kDay - 3600;
  EXPECT_TRUE(GoesSoon("asleep"));
  EXPECT_FALSE(IsGone("awake")) << "it was read an hour later";
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions_expired == 1; }));
  clock_seconds_ += 3600;
  EXPECT_TRUE(GoesSoon("awake"));
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions_expired == 2; }));
  EXPECT_EQ(engine_->Stats().pages_used + engine_->Stats().slots_used, 0);
  Restart(ADay());  // nothing keeps a file open that is only written to
  ExpectNothingLeft();
}

TEST_F(EngineExpiryTest, TimePassesWhileNoServerRuns) {
  Start(ADay());
  for (const char* id : {"used", "read", "unused"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, std::string(50, 'x'));
  }
  ASSERT_TRUE(CheckpointAll().ok());
  clock_seconds_ += kDay / 2;
  Pour("used", "more");
  ASSERT_TRUE(Score("read", "hello").ok());
  Turn();
  ASSERT_TRUE(
      Eventually([&] { return Get("read")->last_use_time > Get("unused")->last_use_time; }));
  clock_seconds_ += 2;  // the journal hears of the read
  Turn();
  Restart(SmallLimits());
  clock_seconds_ += kDay / 2;
  EXPECT_TRUE(GoesSoon("unused"));
  EXPECT_FALSE(IsGone("used"));
  EXPECT_FALSE(IsGone("read"));
  EXPECT_EQ(Get("used")->position, 54);
  clock_seconds_ += kDay;
  EXPECT_TRUE(GoesSoon("used"));
  EXPECT_TRUE(GoesSoon("read"));
  Restart(SmallLimits());
  ExpectNothingLeft();
}

// Rather kept too long than lost.
TEST_F(EngineExpiryTest, ASessionWhoseExpiryIsDamagedStays) {
  Start(ADay());
  ASSERT_TRUE(Create("a").ok());
  Pour("a", "some text");
  Stop();
  {
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok()) << journal.status();
    memory::JournalBatch batch;
    batch.Put(ExpiryKeyOf(Name("a")), "damage");
    ASSERT_TRUE((*journal)->Commit(std::move(batch)).ok());
  }
  Start(ADay());
  EXPECT_EQ(Get("a")->position, 9);
  EXPECT_EQ(Get("a")->expire_after, absl::ZeroDuration());
}

TEST_F(EngineExpiryTest, ASessionInUseStays) {
  Start(ADay());
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  clock_seconds_ += 3 * kDay;
  Turn();
  EXPECT_EQ(Append(**stream, "still here").value_or(-1), 10);
  stream->reset();
  EXPECT_TRUE(WaitUntilFree("a"));
  clock_seconds_ += kDay / 2;
  Turn();
  EXPECT_FALSE(IsGone("a")) << "the append was its last use";
  clock_seconds_ += kDay / 2;
  EXPECT_TRUE(GoesSoon("a"));
}

TEST_F(EngineExpiryTest, ASessionHasATimeOfItsOwnAndAForkItsParents) {
  Start(ADay());
  const auto create = [&](std::string id, std::optional<absl::Duration> expire_after) {
    return Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
      engine_->CreateSession(Name(id), SmallSettings(), "", expire_after, "", "", done);
    });
  };
  ASSERT_TRUE(create("hour", absl::Hours(1)).ok());
  ASSERT_TRUE(create("never", absl::ZeroDuration()).ok());
  ASSERT_TRUE(Create("day").ok());
  clock_seconds_ += 1800;
  const auto fork = Fork("hour", "fork");
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(fork->expire_after, absl::Hours(1));
  clock_seconds_ += 1800;
  Turn();
  EXPECT_FALSE(IsGone("hour")) << "the fork was a use";
  clock_seconds_ += 1800;
  EXPECT_TRUE(GoesSoon("hour"));
  EXPECT_TRUE(GoesSoon("fork"));
  clock_seconds_ += 2 * kDay;
  EXPECT_TRUE(GoesSoon("day"));
  EXPECT_FALSE(IsGone("never"));
}

// A fork and its parent share extents: those go with the last of them.
TEST_F(EngineExpiryTest, WhatAForkStillNeedsStays) {
  Start(ADay());
  const auto expected = Expected({std::string(300, 'x')}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(300, 'x'));
  ASSERT_TRUE(CheckpointAll().ok());
  clock_seconds_ += kDay / 2;
  ASSERT_TRUE(Eventually([&] { return Get("a")->tier == SessionTier::kAsleep; }));
  ASSERT_TRUE(Fork("a", "b").ok());
  ASSERT_TRUE(CheckpointAll().ok());
  Restart(ADay());
  EXPECT_EQ(TokensOf(Answer(Spec("b", "and?", 6))), expected);
  clock_seconds_ += kDay / 2;
  EXPECT_TRUE(GoesSoon("a"));
  ASSERT_TRUE(WaitUntilFree("b"));
  Restart(ADay());
  EXPECT_EQ(Get("b")->position, 300 + 4 + 6);
  EXPECT_EQ(Score("b", "!").ok(), true);
  EXPECT_LT(ComputedTokens(), 20) << "what the parent had computed is loaded";
}

}  // namespace
}  // namespace eidetic
