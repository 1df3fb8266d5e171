// Sessions that wake before all of their pages were read.
#include <gtest/gtest.h>

#include <fstream>

#include "engine/engine_checkpoint_fixture.h"
#include "engine/held_file_system.h"

namespace eidetic {
namespace {

constexpr int kBlocks = 38;             // of kPast, in each of two layers
constexpr int kLatePages = 2 * 33;      // distant blocks [1, 35) but the first
constexpr int kReadsOfAPage = 3;        // header, content, padding
constexpr int kExtentBytes = 40 + 512;  // of a page
const std::string kPast(600, 'x');

class EngineLateTest : public EngineCheckpointTest {
 protected:
  EngineLateTest() {
    files_ = &disk_;
    finds_late_pages_ = true;
  }
  void TearDown() override {
    disk_.Release();
    EngineCheckpointTest::TearDown();
  }

  // Session "a" sleeps on the disk. What it will say to "and?" that was never interrupted.
  std::vector<TokenId> Begin() {
    Start();
    const std::vector<TokenId> expected = Expected({kPast}, "and?");
    EXPECT_TRUE(Create("a").ok());
    Pour("a", kPast);
    EXPECT_TRUE(CheckpointAll().ok());
    Stop();
    return expected;
  }

  // The last page that is read; the first and the second chunk of the answer do not want it.
  void DamageLastLatePage() {
    const std::filesystem::path path = std::filesystem::directory_iterator(extents_)->path();
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const int64_t at = (kBlocks + 34) * kExtentBytes + 300;
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 1));
    ASSERT_TRUE(file.flush().good());
  }

  // How many reads a wake takes in all.
  int ReadsOfAWake() {
    Start();
    disk_.HoldReads();
    disk_.Release();
    EXPECT_TRUE(Score("a", "s").ok());
    const int reads = disk_.reads();
    Stop();
    return reads;
  }

  HeldFileSystem disk_{memory::FileSystem::Posix()};
};

TEST_F(EngineLateTest, TokensComeBeforeTheLastPages) {
  const std::vector<TokenId> expected = Begin();
  const int reads = ReadsOfAWake();
  Start();
  disk_.HoldReads(reads - kReadsOfAPage);
  const auto reader = Generate(Spec("a", "and?", 6));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<TokenId> tokens;
  const Told first = Read(**reader, 1);
  for (const TokenEvent& event : first.tokens) tokens.push_back(event.token.token);
  EXPECT_TRUE(Eventually([&] { return disk_.held_reads() == 1; })) << "the last page's";
  disk_.Release();
  const Told rest = Read(**reader);
  for (const TokenEvent& event : rest.tokens) tokens.push_back(event.token.token);
  EXPECT_EQ(tokens, expected);
  EXPECT_EQ(ComputedTokens(), 4 + 5) << "what came to nothing was not computed";
}

TEST_F(EngineLateTest, DamageFoundLateReachesNoToken) {
  const std::vector<TokenId> expected = Begin();
  DamageLastLatePage();
  Start();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().checkpoints_refused == 1; }));
  EXPECT_GE(ComputedTokens(), 600) << "the log was computed again";
  ASSERT_TRUE(WaitUntilFree("a"));
  EXPECT_EQ(Get("a")->position, 610);
}

TEST_F(EngineLateTest, DamageOfASessionThatRests) {
  Begin();
  DamageLastLatePage();
  Start();
  const auto scored = Score("a", "s");
  ASSERT_TRUE(scored.ok()) << scored.status();
  memory::TokenLog log;
  log.Append(Ids(kPast));
  EXPECT_EQ(scored->front().logprob,
            FakeModel::LogprobAfter(log, SmallLimits().query_chunk_tokens, SmallSettings(), 's'));
  EXPECT_EQ(engine_->Stats().checkpoints_refused, 1);
}

TEST_F(EngineLateTest, ItIsForkedCutAndDeletedMeanwhile) {
  const std::vector<TokenId> expected = Begin();
  const int reads = ReadsOfAWake();
  Start();
  disk_.HoldReads(reads - kLatePages * kReadsOfAPage);
  {
    const auto reader = Generate(Spec("a", "and?", 6));  // waits for its first pages
    ASSERT_TRUE(reader.ok()) << reader.status();
    ASSERT_TRUE(Eventually([&] { return disk_.held_reads() == 1; }));
    ASSERT_TRUE(Fork("a", "b").ok());
  }
  ASSERT_TRUE(WaitUntilFree("a"));
  ASSERT_TRUE(Rewind("a", 200).ok());
  EXPECT_EQ(Get("a")->tier, SessionTier::kAsleep);
  ASSERT_TRUE(Fork("b", "c").ok());
  disk_.Release();
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Rewind("b", 600).ok());  // the prompt had been appended
  EXPECT_EQ(TokensOf(Answer(Spec("b", "and?", 6))), expected);
}

TEST_F(EngineLateTest, ACheckpointWaitsForThem) {
  const std::vector<TokenId> expected = Begin();
  Start();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  const auto scored = Score("a", "s");
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(ComputedTokens(), 1) << "all that came was in the checkpoint";
}

}  // namespace
}  // namespace eidetic
