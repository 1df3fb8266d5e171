// Checkpoints whose bytes were changed, every one of them: refused whole, and the log computed.
// What is half restored would die in the fake model, which checks every byte that it finds.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/durable/session_keys.h"
#include "engine/engine_checkpoint_fixture.h"
#include "memory/durable/faulty_env.h"
#include "memory/durable/faulty_file_system.h"

namespace eidetic {
namespace {

constexpr int kRandomBits = 10'000;
const std::string kText(40, 'x');  // two complete blocks and a part of one, in two layers

class EngineCheckpointDamageTest : public EngineCheckpointTest {
 protected:
  void SetUp() override {
    EngineCheckpointTest::SetUp();
    journal_.env = disk_.env();  // that do not really sync: quick
    files_ = &files_of_disk_;
    log_.Append(Ids(kText));
  }
  void TearDown() override { Stop(); }  // before its disk goes

  // A session with a checkpoint, asleep. The checkpoint's extents stand in [begin_, end_).
  void Begin() {
    Start();
    ASSERT_TRUE(Create("a").ok());
    Pour("a", kText);
    Keep();
  }
  void Keep() {
    begin_ = FileBytes();
    ASSERT_TRUE(CheckpointAll().ok());
    end_ = FileBytes();
    ASSERT_GT(end_, begin_);
    clock_seconds_ += 700;
    while (Get("a")->memory_bytes > 0) {
    }
  }

  std::filesystem::path File() const {
    return std::filesystem::directory_iterator(extents_)->path();
  }
  int64_t FileBytes() const {
    if (std::filesystem::is_empty(extents_)) return 0;
    return static_cast<int64_t>(std::filesystem::file_size(File()));
  }
  void Flip(int64_t at, uint8_t bits) {
    std::fstream file(File(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ bits));
    ASSERT_TRUE(file.flush().good());
  }

  // The session wakes as it was, by computing its whole log.
  void ExpectComputed(int64_t at) {
    const int64_t before = ComputedTokens();
    auto stream = OpenAppend("a");
    ASSERT_TRUE(stream.ok()) << stream.status();
    ASSERT_TRUE(Drain(**stream).ok());
    stream->reset();
    ASSERT_TRUE(WaitUntilFree("a"));
    EXPECT_EQ(ComputedTokens() - before, log_.size()) << "byte " << at;
    const auto scored = Score("a", "s");
    ASSERT_TRUE(scored.ok()) << at << ": " << scored.status();
    EXPECT_EQ(
        scored->front().logprob,
        FakeModel::LogprobAfter(log_, SmallLimits().query_chunk_tokens, SmallSettings(), 's'));
  }

  memory::FaultyEnv disk_;
  memory::FaultyFileSystem files_of_disk_{memory::FileSystem::Posix(), 1};
  memory::TokenLog log_;
  int64_t begin_ = 0, end_ = 0;
  std::mt19937_64 random_{5};
};

TEST_F(EngineCheckpointDamageTest, EveryByteOfItsExtents) {
  Begin();
  const int64_t bytes = end_ - begin_;
  for (int64_t i = 0; i < bytes && !HasFailure(); ++i) {
    Flip(begin_ + i, static_cast<uint8_t>(1 + random_() % 255));
    ExpectComputed(i);
    ASSERT_EQ(end_ - begin_, bytes);
    Keep();
  }
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().checkpoints_refused == bytes; }));
  const int64_t before = ComputedTokens();
  ASSERT_TRUE(Score("a", "s").ok());
  EXPECT_EQ(ComputedTokens() - before, 0) << "the last one is whole";
}

TEST_F(EngineCheckpointDamageTest, TenThousandBits) {
  Begin();
  for (int i = 0; i < kRandomBits && !HasFailure(); ++i) {
    const auto at = static_cast<int64_t>(random_() % (end_ - begin_));
    Flip(begin_ + at, static_cast<uint8_t>(1 << random_() % 8));
    ExpectComputed(at);
    Keep();
  }
}

TEST_F(EngineCheckpointDamageTest, EveryLengthOfItsFile) {
  Begin();
  Stop();
  const std::filesystem::path file = File(), whole = extents_.parent_path() / "whole";
  std::filesystem::copy_file(file, whole);
  for (int64_t length = 0; length < end_ && !HasFailure(); length += 8) {
    std::filesystem::resize_file(file, length);
    Start();
    ExpectComputed(length);
    Stop();
    std::filesystem::copy_file(whole, file, std::filesystem::copy_options::overwrite_existing);
  }
}

TEST_F(EngineCheckpointDamageTest, EveryByteAndLengthOfItsManifest) {
  Begin();
  Stop();
  const std::string key = CheckpointKeyOf(Name("a"));
  const std::string value = *(*memory::Journal::Open(journal_))->Get(key);
  std::vector<std::string> damaged;
  for (size_t i = 0; i < value.size(); ++i) {
    damaged.push_back(value.substr(0, i));
    damaged.emplace_back(value)[i] ^= static_cast<char>(1 + random_() % 255);
  }
  for (size_t i = 0; i < damaged.size() && !HasFailure(); ++i) {
    memory::JournalBatch batch;
    batch.Put(key, damaged[i]);
    ASSERT_TRUE((*memory::Journal::Open(journal_))->Commit(std::move(batch)).ok());
    Start();
    ExpectComputed(static_cast<int64_t>(i / 2));
    Stop();
  }
}

}  // namespace
}  // namespace eidetic
