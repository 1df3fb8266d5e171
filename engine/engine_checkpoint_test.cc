// What checkpoints hold, and what becomes of those that can not be used.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/durable/session_keys.h"
#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

const std::string kPast(205, 'x'), kMore(70, 'y');

TEST_F(EngineCheckpointTest, AfterARestartOnlyTheTailIsComputed) {
  Start();
  const auto expected = Expected({kPast, kMore}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", kPast);
  ASSERT_TRUE(CheckpointAll().ok());
  Pour("a", kMore);
  Restart();
  EXPECT_EQ(Get("a")->computed, 0) << "asleep";
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens(), 70 + 4 + 5) << "the last token is not computed";
  EXPECT_EQ(engine_->Stats().checkpoints_refused, 0);
  EXPECT_TRUE(Get("a")->bit_identical);
}

// Tokens 32 to 39 were a chunk of their own when the checkpoint was made, and are none now.
TEST_F(EngineCheckpointTest, ACheckpointWithinAChunkOfARestoredPastIsNotTaken) {
  Start();
  const std::string past(50, 'x');
  const auto expected = Expected({past}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", past);
  ASSERT_TRUE(Snapshot("a", "whole").ok());
  ASSERT_TRUE(Rewind("a", 40).ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE(Drain(**stream).ok());
  stream->reset();
  ASSERT_TRUE(WaitUntilFree("a"));
  ASSERT_TRUE(CheckpointAll().ok());
  const auto restored = Restore("a", "whole");
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->position, 50);
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
}

TEST_F(EngineCheckpointTest, OnlyWhatIsNewIsWritten) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(2000, 'x'));
  ASSERT_TRUE(CheckpointAll().ok());
  const int64_t whole = engine_->Stats().checkpoint_bytes;
  Pour("a", "little");
  ASSERT_TRUE(CheckpointAll().ok());
  const int64_t both = engine_->Stats().checkpoint_bytes;
  EXPECT_GT(both, whole);
  EXPECT_LT(both - whole, whole / 20);
  ASSERT_TRUE(CheckpointAll().ok());
  EXPECT_EQ(engine_->Stats().checkpoint_bytes, both) << "nothing is new";
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().checkpoints_written == 2; }));
}

// A manifest names 4,200 blocks: a few lines of it are new.
TEST_F(EngineCheckpointTest, AManifestIsWrittenAsFarAsItIsNew) {
  EngineLimits limits = SmallLimits();
  limits.memory.max_pages = 1 << 14;
  limits.plan.max_batch_tokens = 1 << 12;
  const auto manifest_bytes = [this] {
    return (*memory::Journal::Open(journal_))->Get(CheckpointKeyOf(Name("a")))->size();
  };
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(30 * 16, 'x'));
  ASSERT_TRUE(CheckpointAll().ok());
  Stop();
  const size_t small = manifest_bytes();
  Start(limits);
  Pour("a", std::string(4200 * 16, 'x'));
  ASSERT_TRUE(CheckpointAll().ok());
  const int64_t whole = engine_->Stats().checkpoint_bytes;
  Pour("a", "little");
  ASSERT_TRUE(CheckpointAll().ok());
  const int64_t added = engine_->Stats().checkpoint_bytes - whole;
  const auto expected = TokensOf(Answer(Spec("a", "and?", 6)));
  ASSERT_TRUE(Rewind("a", 4230 * 16 + 6).ok());
  Stop();
  const size_t large = manifest_bytes();
  // Two pages of 512 bytes in each layer, their tiles, a state, and less than 64 pieces' names.
  EXPECT_LT(added, 8'000);
  EXPECT_LT(large, 3 * small) << "140 times the blocks";
  std::printf("bench name=manifest blocks=30 bytes=%zu\n", small);
  std::printf("bench name=manifest blocks=4231 bytes=%zu extents_added=%lld\n", large,
              static_cast<long long>(added));
  Start(limits);
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_LT(ComputedTokens(), 50);
}

TEST_F(EngineCheckpointTest, RestingAndBusySessionsAreCheckpointedInTime) {
  EngineLimits limits = SmallLimits();
  limits.keeping.checkpoint_tokens = 64;
  Start(limits);
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(Append(**stream, kPast).ok());
  ASSERT_TRUE(Drain(**stream).ok());
  EXPECT_TRUE(InTime([&] { return engine_->Stats().checkpoints_written == 1; })) << "at work";
  ASSERT_TRUE(Append(**stream, "few more").ok());
  ASSERT_TRUE(Drain(**stream).ok());
  clock_seconds_ += 100;
  ASSERT_TRUE(Get("a").ok());
  EXPECT_EQ(engine_->Stats().checkpoints_written, 1) << "it has a writer, and computed little";
  stream->reset();
  ASSERT_TRUE(WaitUntilFree("a"));
  EXPECT_TRUE(InTime([&] { return engine_->Stats().checkpoints_written == 2; })) << "it rests";
}

TEST_F(EngineCheckpointTest, ForksShareExtentsAndOutliveEachOther) {
  Start();
  const auto expected = Expected({kPast, "a", "b"}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", kPast);
  Pour("a", "a");
  ASSERT_TRUE(CheckpointAll().ok());
  const int64_t whole = engine_->Stats().checkpoint_bytes;
  ASSERT_TRUE(Fork("a", "child").ok());
  Pour("child", "b");
  ASSERT_TRUE(CheckpointAll().ok());
  EXPECT_LT(engine_->Stats().checkpoint_bytes - whole, whole / 4);
  ASSERT_TRUE(Fork("a", "still").ok());  // its parent's checkpoint is its own
  ASSERT_TRUE(Delete("a").ok());
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("child", "and?", 6))), expected);
  Pour("still", "b");
  EXPECT_EQ(TokensOf(Answer(Spec("still", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens(), 4 + 5 + 1 + 4 + 5);
  EXPECT_GT(engine_->Stats().stored_bytes, 0);
  ASSERT_TRUE(Delete("child").ok());
  ASSERT_TRUE(Delete("still").ok());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().stored_bytes == 0; }));
}

TEST_F(EngineCheckpointTest, DamagedExtentsAreRefusedAndTheLogIsComputed) {
  Start();
  const auto expected = Expected({kPast}, "and?");
  ASSERT_TRUE(Create("a").ok());
  Pour("a", kPast);
  ASSERT_TRUE(CheckpointAll().ok());
  Stop();
  const auto file = std::filesystem::directory_iterator(extents_)->path();
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(file));
  const std::filesystem::path whole = extents_.parent_path() / "whole";
  std::filesystem::create_directories(whole);
  std::mt19937 random(5);
  for (int round = 0; round < 30; ++round) {
    const auto before = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy(journal_.folder, whole / std::to_string(round),
                          std::filesystem::copy_options::recursive);
    const int64_t at = random() % bytes;
    const std::filesystem::path kept = extents_.parent_path() / "kept";
    std::filesystem::copy_file(file, kept, before);
    {
      std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
      damaged.seekg(at);
      const char byte = static_cast<char>(damaged.get());
      damaged.seekp(at);
      damaged.put(static_cast<char>(byte ^ (1 << random() % 8)));
    }
    Start();
    EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected) << "byte " << at;
    EXPECT_EQ(ComputedTokens(), 205 + 4 + 5);
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().checkpoints_refused == 1; }));
    ASSERT_TRUE(CheckpointAll().ok());
    Restart();
    EXPECT_EQ(Get("a")->position, 205 + 4 + 6);
    ASSERT_TRUE(Score("a", "more").ok());
    EXPECT_LT(ComputedTokens(), 10) << "the next checkpoint is whole";
    Stop();
    std::filesystem::remove_all(journal_.folder);
    std::filesystem::rename(whole / std::to_string(round), journal_.folder);
    std::filesystem::copy_file(kept, file, before);
  }
}

TEST_F(EngineCheckpointTest, AnotherBuildGoesOnAndIsFlagged) {
  Start();
  const auto expected = Expected({kPast}, "and?");
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Create(id).ok());
    Pour(id, kPast);
  }
  ASSERT_TRUE(CheckpointAll().ok());
  build_ = "build 2";
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_EQ(ComputedTokens(), 4 + 5);
  EXPECT_FALSE(Get("a")->bit_identical);
  build_ = "build 1";
  Restart();
  EXPECT_FALSE(Get("a")->bit_identical) << "from then on";
  EXPECT_TRUE(Get("b")->bit_identical);
}

// Bytes that a device can not read are never used, in part or whole: the log is.
TEST_F(EngineCheckpointTest, AnotherDeviceComputesTheLogAgainAndIsFlagged) {
  Start();
  const auto expected = Expected({kPast}, "and?");
  for (const char* id : {"kept", "fresh", "idle"}) {
    ASSERT_TRUE(Create(id).ok());
    if (id != std::string("idle")) Pour(id, kPast);
    if (id == std::string("kept")) {
      ASSERT_TRUE(CheckpointAll().ok());
    }
  }
  device_kind_ = page_form_ = "another";
  Restart();
  EXPECT_EQ(engine_->Stats().checkpoints_refused, 1);
  EXPECT_TRUE(Get("kept")->bit_identical) << "until it goes on";
  for (const char* id : {"kept", "fresh"}) {
    const int64_t before = ComputedTokens();
    EXPECT_EQ(TokensOf(Answer(Spec(id, "and?", 6))), expected) << id;
    EXPECT_EQ(ComputedTokens() - before, 205 + 4 + 5) << id;
    EXPECT_FALSE(Get(id)->bit_identical) << id;
    ASSERT_TRUE(WaitUntilFree(id));
  }
  ASSERT_TRUE(Fork("kept", "child").ok());
  EXPECT_FALSE(Get("child")->bit_identical);
  Pour("idle", "x");
  EXPECT_TRUE(Get("idle")->bit_identical) << "nothing else computed it";
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  for (const char* id : {"kept", "fresh", "child"}) EXPECT_FALSE(Get(id)->bit_identical) << id;
  EXPECT_TRUE(Get("idle")->bit_identical);
  EXPECT_TRUE(Score("kept", "more").ok());
  EXPECT_LT(ComputedTokens(), 10) << "its own checkpoint serves";
}

}  // namespace
}  // namespace eidetic
