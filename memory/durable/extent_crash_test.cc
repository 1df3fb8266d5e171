// Random lives of a store, with several checkpoints under way at once, failures and crashes.

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <set>

#include "memory/durable/extent_format.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/faulty_file_system.h"
#include "memory/durable/test_bytes.h"

namespace eidetic::memory {
namespace {

using Operation = FaultyFileSystem::Operation;
using Unsynced = FaultyFileSystem::Unsynced;

constexpr ExtentLimits kLimits{.max_file_bytes = 1500};

struct Extent {
  ExtentRef ref;
  Bytes bytes;
};

class Life {
 public:
  explicit Life(uint32_t seed)
      : random_(seed), folder_(FreshFolder() / "extents"), files_(FileSystem::Posix(), seed) {
    Open();
  }

  void Step() {
    const uint32_t action = random_() % 20;
    std::vector<Extent>& caller = callers_[random_() % callers_.size()];
    if (action < 9) {
      Append(caller);
    } else if (action < 12) {
      Sync(caller);
    } else if (action < 14) {
      Drop(caller);
    } else if (action < 16) {
      ReleaseOne();
    } else if (action < 18) {
      BreakSomething();
    } else if (action == 18) {
      CheckReads();
    } else if (random_() % 4 == 0) {
      Crash();
    }
  }

  int64_t crashes = 0, failed_syncs = 0, survived = 0, gone = 0;

 private:
  void Open() {
    auto store = ExtentStore::Open(&files_, folder_, kLimits);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    for (const Extent& extent : published_) store_->AddReference(extent.ref);
  }

  void Append(std::vector<Extent>& caller) {
    Bytes bytes = RandomBytes(random_, random_() % 400);
    auto ref = store_->Append(ExtentKind::kPage, bytes);
    if (!ref.ok()) return Drop(caller);
    caller.push_back({*ref, std::move(bytes)});
  }

  // A checkpoint is published when its own sync succeeded, and only then.
  void Sync(std::vector<Extent>& caller) {
    if (!store_->Sync().ok()) {
      ++failed_syncs;
      return Drop(caller);
    }
    published_.insert(published_.end(), caller.begin(), caller.end());
    caller.clear();
  }

  void Drop(std::vector<Extent>& caller) {
    for (const Extent& extent : caller) store_->Release(extent.ref);
    caller.clear();
  }

  void ReleaseOne() {
    if (published_.empty()) return;
    std::swap(published_[random_() % published_.size()], published_.back());
    store_->Release(published_.back().ref);
    published_.pop_back();
  }

  void BreakSomething() {
    constexpr std::array kWrites = {Operation::kCreate, Operation::kAppend, Operation::kSync,
                                    Operation::kSyncFolder, Operation::kRemove};
    files_.Fail(kWrites[random_() % kWrites.size()], random_() % 3, random_() % 2 ? ENOSPC : EIO);
  }

  void CheckReads() {
    for (const Extent& extent : published_) {
      Bytes read(extent.ref.bytes);
      const absl::Status status = store_->Read(extent.ref, read);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(read, extent.bytes);
    }
  }

  void Crash() {
    ++crashes;
    store_.reset();
    files_.Heal();
    files_.Crash(random_() % 2 ? Unsynced::kTorn : Unsynced::kForgotten);
    Open();
    CheckReads();
    // What no sync vouched for may be there or not, but never as other bytes.
    for (std::vector<Extent>& caller : callers_) {
      for (const Extent& extent : caller) {
        Bytes read(extent.ref.bytes);
        const absl::Status status = store_->Read(extent.ref, read);
        if (status.ok()) {
          ASSERT_EQ(read, extent.bytes);
          ++survived;
        } else {
          ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
          ++gone;
        }
      }
      caller.clear();
    }
    store_->RemoveUnreferenced();
    CheckReads();
    CheckFiles();
  }

  // Exactly the files that a reference names are left.
  void CheckFiles() {
    std::set<std::string> named;
    for (const Extent& extent : published_) named.insert(ExtentFileName(extent.ref.file));
    const std::vector<std::string> there = *files_.List(folder_);
    ASSERT_EQ(std::set<std::string>(there.begin(), there.end()), named);
  }

  std::mt19937 random_;
  const std::filesystem::path folder_;
  FaultyFileSystem files_;
  std::unique_ptr<ExtentStore> store_;
  std::array<std::vector<Extent>, 3> callers_;  // each with a checkpoint under way
  std::vector<Extent> published_;
};

TEST(ExtentCrash, NothingThatWasSyncedIsEverOtherThanWritten) {
  int64_t crashes = 0, failed_syncs = 0, survived = 0, gone = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Life life(seed);
    for (int step = 0; step < 1500; ++step) {
      life.Step();
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << ", step " << step;
    }
    crashes += life.crashes;
    failed_syncs += life.failed_syncs;
    survived += life.survived;
    gone += life.gone;
  }
  // Often enough to mean something.
  EXPECT_GT(crashes, 150);
  EXPECT_GT(failed_syncs, 500);
  EXPECT_GT(survived, 50);
  EXPECT_GT(gone, 150);
}

}  // namespace
}  // namespace eidetic::memory
