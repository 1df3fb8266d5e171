// A store whose device fills up or fails, at every place where it can.

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

#include "memory/durable/extent_format.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/faulty_file_system.h"
#include "memory/durable/test_bytes.h"

namespace eidetic::memory {
namespace {

using Code = absl::StatusCode;
using Operation = FaultyFileSystem::Operation;
using Unsynced = FaultyFileSystem::Unsynced;

constexpr ExtentLimits kLimits{.max_file_bytes = 300};  // two of the extents below

class ExtentFaultsTest : public testing::Test {
 protected:
  absl::Status Open() {
    store_.reset();
    auto store = ExtentStore::Open(&*files_, folder_, kLimits);
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  }
  // A new disk, with a checkpoint on it.
  void Begin() {
    store_.reset();
    held_.clear();
    folder_ = FreshFolder() / "extents";
    files_.emplace(FileSystem::Posix(), 1);
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(Checkpoint(1).ok());
  }
  // As a caller does it: a checkpoint that fails is dropped.
  absl::Status Checkpoint(int extents) {
    std::vector<std::pair<ExtentRef, Bytes>> pending;
    absl::Status status;
    for (int i = 0; i < extents && status.ok(); ++i) {
      Bytes bytes = RandomBytes(random_, 101);
      auto ref = store_->Append(ExtentKind::kTile, bytes);
      if (status = ref.status(); status.ok()) pending.emplace_back(*ref, std::move(bytes));
    }
    if (status.ok()) status = store_->Sync();
    if (status.ok()) {
      held_.insert(held_.end(), pending.begin(), pending.end());
    } else {
      for (const auto& [ref, bytes] : pending) store_->Release(ref);
    }
    return status;
  }
  // Every operation at least once: a start, a checkpoint over files, one that is dropped.
  absl::Status Life() {
    if (absl::Status opened = Open(); !opened.ok()) return opened;
    for (const auto& [ref, bytes] : held_) store_->AddReference(ref);
    if (absl::Status status = Checkpoint(5); !status.ok()) return status;
    while (held_.size() > 1) {
      store_->Release(held_.back().first);
      held_.pop_back();
    }
    return Checkpoint(3);
  }
  void ExpectHeldAreThere() {
    for (const auto& [ref, bytes] : held_) {
      Bytes read(ref.bytes);
      const absl::Status status = store_->Read(ref, read);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(read, bytes);
    }
  }
  // After any failure: once the device works, so does the store, and nothing held was lost.
  void ExpectRecovers() {
    files_->Heal();
    if (store_ == nullptr) {
      ASSERT_TRUE(Open().ok());
      for (const auto& [ref, bytes] : held_) store_->AddReference(ref);
    }
    const absl::Status status = Checkpoint(3);
    ASSERT_TRUE(status.ok()) << status;
    ExpectHeldAreThere();
    files_->Crash(Unsynced::kForgotten);
    ASSERT_TRUE(Open().ok());
    std::map<std::string, int> kept;
    for (const auto& [ref, bytes] : held_) {
      store_->AddReference(ref);
      ++kept[ExtentFileName(ref.file)];
    }
    ExpectHeldAreThere();
    store_->RemoveUnreferenced();
    ExpectHeldAreThere();
    const std::vector<std::string> names = *files_->List(folder_);
    ASSERT_EQ(names.size(), kept.size());
    for (const std::string& name : names) ASSERT_TRUE(kept.contains(name)) << name;
  }

  std::mt19937 random_{4};
  std::filesystem::path folder_;
  std::optional<FaultyFileSystem> files_;
  std::unique_ptr<ExtentStore> store_;
  std::vector<std::pair<ExtentRef, Bytes>> held_;  // whose checkpoints stand
};

TEST_F(ExtentFaultsTest, AtEveryPlaceWithTheRightStatusAndUsableAfterwards) {
  Begin();
  std::map<Operation, int64_t> sites;
  for (int i = 0; i < FaultyFileSystem::kOperations; ++i) {
    sites[Operation(i)] = -files_->count(Operation(i));
  }
  ASSERT_TRUE(Life().ok());
  for (auto& [operation, count] : sites) count += files_->count(operation);
  EXPECT_GE(sites[Operation::kAppend], 24);
  EXPECT_GE(sites[Operation::kSync], 4);
  EXPECT_GE(sites[Operation::kCreate], 4);
  EXPECT_GE(sites[Operation::kRemove], 2);

  for (const auto& [operation, count] : sites) {
    for (int64_t site = 0; site < count; ++site) {
      for (int error : {ENOSPC, EDQUOT, EIO}) {
        for (int64_t times : {int64_t{1}, FaultyFileSystem::kForever}) {
          SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(operation)
                                          << ", site " << site << ", error " << error);
          Begin();
          files_->Fail(operation, site, error, times);
          const absl::Status status = Life();
          // A file that can not be removed waits for the next start.
          const Code failed = error == EIO ? Code::kUnavailable : Code::kResourceExhausted;
          EXPECT_EQ(status.code(), operation == Operation::kRemove ? Code::kOk : failed) << status;
          ExpectRecovers();
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_F(ExtentFaultsTest, AFailedSyncIsHeardByWhoeverHadExtentsThere) {
  Begin();
  const ExtentRef theirs = *store_->Append(ExtentKind::kPage, Bytes(10));
  store_->AddReference(theirs);
  files_->Fail(Operation::kSync, 0, EIO);
  EXPECT_EQ(Checkpoint(1).code(), Code::kUnavailable);

  // Theirs lies in the file whose sync failed: no later sync may call it durable.
  EXPECT_EQ(store_->Sync().code(), Code::kUnavailable);
  ASSERT_TRUE(store_->Append(ExtentKind::kPage, Bytes(10)).ok());
  EXPECT_EQ(store_->Sync().code(), Code::kUnavailable);
  store_->Release(theirs);
  EXPECT_EQ(store_->Sync().code(), Code::kUnavailable);
  store_->Release(theirs);
  EXPECT_TRUE(store_->Sync().ok());
  ExpectRecovers();
}

TEST_F(ExtentFaultsTest, AFailedSyncOfAFullFileIsHeardToo) {
  Begin();
  const ExtentRef theirs = *store_->Append(ExtentKind::kPage, Bytes(100));
  files_->Fail(Operation::kSync, 0, ENOSPC);
  EXPECT_EQ(store_->Append(ExtentKind::kPage, Bytes(100)).status().code(),
            Code::kResourceExhausted);
  EXPECT_EQ(store_->Sync().code(), Code::kResourceExhausted);
  store_->Release(theirs);
  ExpectRecovers();
}

TEST_F(ExtentFaultsTest, AFailedAppendTakesNothingFromExtentsBeforeIt) {
  Begin();
  const Bytes bytes = RandomBytes(random_, 30);
  const ExtentRef before = *store_->Append(ExtentKind::kPage, bytes);
  files_->Fail(Operation::kAppend, 1, ENOSPC);
  EXPECT_FALSE(store_->Append(ExtentKind::kPage, Bytes(10)).ok());
  EXPECT_TRUE(store_->Sync().ok());
  held_.emplace_back(before, bytes);
  const ExtentRef after = *store_->Append(ExtentKind::kPage, Bytes(10));
  EXPECT_NE(after.file, before.file);
  store_->Release(after);
  ExpectRecovers();
}

TEST_F(ExtentFaultsTest, AnExtentThatCanNotBeReadIsNotCalledLost) {
  Begin();
  Bytes bytes(held_[0].first.bytes);
  for (Operation operation : {Operation::kOpen, Operation::kRead}) {
    files_->Fail(operation, 0, EIO);
    EXPECT_EQ(store_->Read(held_[0].first, bytes).code(), Code::kUnavailable);
    EXPECT_TRUE(store_->Read(held_[0].first, bytes).ok());
    ASSERT_TRUE(Open().ok());
    store_->AddReference(held_[0].first);
  }
}

TEST_F(ExtentFaultsTest, AFileThatCanNotBeRemovedStillCountsAndGoesLater) {
  Begin();
  ASSERT_TRUE(Checkpoint(2).ok());
  const int64_t stored = store_->stored_bytes();
  files_->Fail(Operation::kRemove, 0, EIO);
  for (const auto& [ref, bytes] : held_) {
    if (ref.file == held_[0].first.file) store_->Release(ref);
  }
  EXPECT_EQ(store_->stored_bytes(), stored);
  EXPECT_EQ(store_->RemoveUnreferenced(), 2 * ExtentFileBytes(101));
  EXPECT_EQ(store_->stored_bytes(), stored - 2 * ExtentFileBytes(101));
}

TEST_F(ExtentFaultsTest, AFileThatCanNotBeNamedLeavesNothingBehind) {
  Begin();
  ASSERT_TRUE(Checkpoint(1).ok());  // the file is full
  const size_t names = files_->List(folder_)->size();
  files_->Fail(Operation::kSyncFolder, 0, ENOSPC);
  EXPECT_EQ(Checkpoint(1).code(), Code::kResourceExhausted);
  EXPECT_EQ(files_->List(folder_)->size(), names);
  ExpectRecovers();
}

TEST_F(ExtentFaultsTest, OneSyncServesAllThatWasAppendedBefore) {
  Begin();
  const int64_t syncs = files_->count(Operation::kSync);
  EXPECT_TRUE(store_->Sync().ok());
  EXPECT_EQ(files_->count(Operation::kSync), syncs);
  store_->Append(ExtentKind::kPage, {}).status().IgnoreError();
  EXPECT_TRUE(store_->Sync().ok());
  EXPECT_TRUE(store_->Sync().ok());
  EXPECT_EQ(files_->count(Operation::kSync), syncs + 1);
}

}  // namespace
}  // namespace eidetic::memory
