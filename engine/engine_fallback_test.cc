// A newest checkpoint that is damaged in any part is refused, and the one before takes its place.
#include <gtest/gtest.h>

#include <fstream>

#include "engine/durable/session_keys.h"
#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

// More than a piece of the manifest each.
constexpr int kOld = 66 * 16 + 5, kNew = 64 * 16 + 9;

class EngineFallbackTest : public EngineCheckpointTest {
 protected:
  static EngineLimits Limits() {
    EngineLimits limits = SmallLimits();
    limits.memory.points.max_points = 0;  // every byte that is written is read again
    return limits;
  }

  // Two checkpoints; the second one's extents begin at the byte that is returned.
  int64_t MakeTwo() {
    Start(Limits());
    EXPECT_TRUE(Create("a").ok());
    Pour("a", std::string(kOld, 'x'));
    EXPECT_TRUE(CheckpointAll().ok());
    const auto before = static_cast<int64_t>(std::filesystem::file_size(File()));
    Pour("a", std::string(kNew, 'y'));
    EXPECT_TRUE(CheckpointAll().ok());
    Pour("a", "tail");
    expected_ = *Score("a", "and?");
    Stop();
    std::filesystem::copy(extents_.parent_path(), Saved(),
                          std::filesystem::copy_options::recursive);
    return before;
  }
  void TearDown() override {
    EngineCheckpointTest::TearDown();
    std::filesystem::remove_all(Saved());
  }

  std::filesystem::path File() const {
    return std::filesystem::directory_iterator(extents_)->path();
  }
  std::filesystem::path Saved() const { return extents_.parent_path().string() + "-saved"; }
  void Reset() {
    Stop();
    std::filesystem::remove_all(extents_.parent_path());
    std::filesystem::copy(Saved(), extents_.parent_path(),
                          std::filesystem::copy_options::recursive);
  }
  void Flip(int64_t at) {
    std::fstream file(File(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char byte = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 0x10));
  }
  void FlipRecord(const std::string& key, size_t at) {
    auto journal = memory::Journal::Open(journal_);
    ASSERT_TRUE(journal.ok()) << journal.status();
    std::string value = *(*journal)->Get(key);
    value.at(at) ^= 0x10;
    memory::JournalBatch batch;
    batch.Put(key, value);
    ASSERT_TRUE((*journal)->Commit(std::move(batch)).ok());
  }

  void ExpectScores(int64_t computed) {
    const auto scored = Score("a", "and?");
    ASSERT_TRUE(scored.ok()) << scored.status();
    for (size_t i = 0; i < expected_.size(); ++i) {
      EXPECT_EQ((*scored)[i].logprob, expected_[i].logprob);
    }
    EXPECT_EQ(ComputedTokens(), computed);
  }

  std::vector<SampledToken> expected_;
};

TEST_F(EngineFallbackTest, AFlippedBitInTheNewestManifest) {
  MakeTwo();
  const size_t bytes = (*memory::Journal::Open(journal_))->Get(CheckpointKeyOf(Name("a")))->size();
  for (size_t at = 0; at < bytes; at += at < 40 ? 3 : 97) {
    SCOPED_TRACE(at);
    Reset();
    FlipRecord(CheckpointKeyOf(Name("a")), at);
    Start(Limits());
    ExpectScores(kNew + 4 + 4);
    EXPECT_TRUE(Eventually([&] { return engine_->Stats().integrity_errors == 1; }));
  }
}

TEST_F(EngineFallbackTest, AFlippedBitInTheNewestExtents) {
  const int64_t begin = MakeTwo();
  const auto end = static_cast<int64_t>(std::filesystem::file_size(File()));
  int rounds = 0, refused = 0;
  // Up to 7 bytes behind an extent mean nothing.
  for (int64_t at = begin + 3; at < end; at += (end - begin) / 60, ++rounds) {
    SCOPED_TRACE(at);
    Reset();
    Flip(at);
    Start(Limits());
    const auto scored = Score("a", "and?");
    ASSERT_TRUE(scored.ok()) << scored.status();
    EXPECT_EQ(scored->back().logprob, expected_.back().logprob);
    ASSERT_TRUE(Eventually([&] { return engine_->Stats().sessions_loaded == 1; }));
    const bool found = engine_->Stats().integrity_errors == 1;
    refused += found;
    EXPECT_EQ(ComputedTokens(), (found ? kNew : 0) + 4 + 4);
  }
  EXPECT_GT(refused, rounds - 4);
}

// The one before stays for one generation more: also when it had to take the newest one's place.
TEST_F(EngineFallbackTest, TheNextCheckpointGoesOnFromTheOneThatWasWhole) {
  MakeTwo();
  FlipRecord(CheckpointKeyOf(Name("a")), 50);
  Start(Limits());
  Pour("a", "z");
  EXPECT_EQ(ComputedTokens(), kNew + 4 + 1);
  ASSERT_TRUE(CheckpointAll().ok());
  Restart(Limits());
  ASSERT_TRUE(Score("a", "and?").ok());
  EXPECT_LT(ComputedTokens(), 10);
  EXPECT_EQ(engine_->Stats().integrity_errors, 0);
  Stop();
  FlipRecord(CheckpointKeyOf(Name("a")), 50);
  Start(Limits());
  ASSERT_TRUE(Score("a", "and?").ok());
  EXPECT_EQ(ComputedTokens(), kNew + 4 + 1 + 4);
}

TEST_F(EngineFallbackTest, WithNeitherWholeTheLogIsComputed) {
  MakeTwo();
  FlipRecord(CheckpointKeyOf(Name("a")), 50);
  FlipRecord(OlderCheckpointKeyOf(Name("a")), 50);
  Start(Limits());
  ExpectScores(kOld + kNew + 4 + 4);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().integrity_errors == 2; }));
}

TEST_F(EngineFallbackTest, ADeletedSessionLeavesNoExtents) {
  MakeTwo();
  Start(Limits());
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().stored_bytes == 0; }));
}

}  // namespace
}  // namespace eidetic
