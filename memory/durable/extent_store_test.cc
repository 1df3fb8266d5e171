#include "memory/durable/extent_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "memory/durable/checksum.h"
#include "memory/durable/extent_format.h"
#include "memory/durable/test_bytes.h"

namespace eidetic::memory {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class ExtentStoreTest : public testing::Test {
 protected:
  void Open(ExtentLimits limits = {}) {
    store_.reset();
    auto store = ExtentStore::Open(FileSystem::Posix(), folder_, limits);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  ExtentRef Append(const Bytes& bytes, ExtentKind kind = ExtentKind::kPage) {
    auto ref = store_->Append(kind, bytes);
    EXPECT_TRUE(ref.ok()) << ref.status();
    return *ref;
  }
  Bytes Read(const ExtentRef& ref) {
    Bytes bytes(ref.bytes);
    const absl::Status status = store_->Read(ref, bytes);
    EXPECT_TRUE(status.ok()) << status;
    return bytes;
  }
  absl::Status ReadError(const ExtentRef& ref) {
    Bytes bytes(ref.bytes);
    return store_->Read(ref, bytes);
  }
  std::vector<std::string> Files() { return *FileSystem::Posix()->List(folder_); }

  std::mt19937 random_{1};
  const std::filesystem::path folder_ = FreshFolder() / "extents";
  std::unique_ptr<ExtentStore> store_;
};

TEST_F(ExtentStoreTest, GivesBackWhatWasAppendedAlsoAfterReopening) {
  Open({.max_file_bytes = 4000});
  std::vector<std::pair<ExtentRef, Bytes>> extents;
  for (size_t size : {0, 1, 7, 8, 9, 1000, 4096, 5000}) {
    for (ExtentKind kind : {ExtentKind::kPage, ExtentKind::kTile, ExtentKind::kState}) {
      Bytes bytes = RandomBytes(random_, size);
      extents.emplace_back(Append(bytes, kind), bytes);
      EXPECT_EQ(extents.back().first.checksum, Checksum(bytes));
      EXPECT_EQ(Read(extents.back().first), bytes);
    }
  }
  ASSERT_TRUE(store_->Sync().ok());
  const int64_t stored = store_->stored_bytes();
  EXPECT_EQ(stored, store_->written_bytes());
  Open();
  EXPECT_EQ(store_->stored_bytes(), stored);
  EXPECT_EQ(store_->written_bytes(), 0);
  for (const auto& [ref, bytes] : extents) EXPECT_EQ(Read(ref), bytes);
}

TEST_F(ExtentStoreTest, BeginsANewFileWhenOneIsFull) {
  Open({.max_file_bytes = 200});
  EXPECT_EQ(Append(Bytes(60)).file, 1u);  // 104 with header and padding
  EXPECT_EQ(Append(Bytes(56)).file, 1u);  // 96 more: just full
  EXPECT_EQ(Append(Bytes(60)).file, 2u);
  EXPECT_EQ(Append(Bytes(57)).file, 3u);    // 104 more would be 208
  EXPECT_EQ(Append(Bytes(1000)).file, 4u);  // larger than a file: one of its own
  EXPECT_EQ(Append({}).file, 5u);
  Open({.max_file_bytes = 200});
  EXPECT_EQ(Append({}).file, 6u);  // files of an earlier process are not written again
}

TEST_F(ExtentStoreTest, RefusesAnExtentBeyondTheLimit) {
  Open({.max_extent_bytes = 100});
  Append(Bytes(100));
  EXPECT_EQ(store_->Append(ExtentKind::kPage, Bytes(101)).status().code(), Code::kInvalidArgument);
}

TEST_F(ExtentStoreTest, ReadsNothingButWhatWasNamed) {
  Open();
  const Bytes bytes = RandomBytes(random_, 64);
  const ExtentRef ref = Append(bytes);
  const ExtentRef other = Append(RandomBytes(random_, 64));
  std::vector<ExtentRef> wrong(8, ref);
  wrong[0].file = 77;
  wrong[1].offset = other.offset;  // a whole extent, another one
  wrong[2].offset += 8;
  wrong[3].offset = int64_t{1} << 40;
  wrong[4].offset = std::numeric_limits<int64_t>::max() - 7;
  wrong[5].offset = -8;
  wrong[6].kind = ExtentKind::kTile;
  wrong[7].checksum ^= 1;
  for (const ExtentRef& named : wrong) {
    const absl::Status status = ReadError(named);
    EXPECT_EQ(status.code(), Code::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(ExtentFileName(named.file)));
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(named.offset)));
  }
  ExtentRef shorter = ref;
  --shorter.bytes;
  shorter.checksum = Checksum(std::span(bytes).first(63));
  EXPECT_EQ(ReadError(shorter).code(), Code::kDataLoss);
  EXPECT_EQ(Read(ref), bytes);
}

TEST_F(ExtentStoreTest, AFileGoesWithItsLastReferenceOnceItIsNotWritten) {
  Open({.max_file_bytes = 1});
  const ExtentRef first = Append(Bytes(10));
  store_->AddReference(first);
  store_->Release(first);
  const ExtentRef second = Append(Bytes(10));
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_EQ(Read(first), Bytes(10));
  store_->Release(first);
  EXPECT_EQ(Files(), std::vector<std::string>{ExtentFileName(second.file)});
  EXPECT_EQ(ReadError(first).code(), Code::kDataLoss);
  EXPECT_EQ(store_->stored_bytes(), ExtentFileBytes(10));

  store_->Release(second);  // it is still written
  EXPECT_EQ(Files().size(), 1u);
  const ExtentRef third = Append(Bytes(10));
  EXPECT_EQ(Files(), std::vector<std::string>{ExtentFileName(third.file)});
}

TEST_F(ExtentStoreTest, AtStartExactlyWhatNothingReferencesIsRemoved) {
  Open({.max_file_bytes = 1});
  std::vector<ExtentRef> refs;
  for (size_t size = 0; size < 10; ++size) refs.push_back(Append(Bytes(100 + size)));
  ASSERT_TRUE(store_->Sync().ok());
  std::ofstream(folder_ / "notes.txt") << "not ours";
  std::ofstream(folder_ / "fffffffffffffffff.extents") << "no name that we give";

  Open({.max_file_bytes = 1});
  for (int kept : {2, 3, 7}) store_->AddReference(refs[kept]);
  store_->AddReference(refs[3]);
  const ExtentRef fresh = Append(Bytes(5));  // being written, held by its caller
  int64_t freed = 0;
  for (int gone : {0, 1, 4, 5, 6, 8, 9}) freed += ExtentFileBytes(refs[gone].bytes);
  EXPECT_EQ(store_->RemoveUnreferenced(), freed);
  EXPECT_EQ(Files(),
            (std::vector{ExtentFileName(refs[2].file), ExtentFileName(refs[3].file),
                         ExtentFileName(refs[7].file), ExtentFileName(fresh.file),
                         std::string("fffffffffffffffff.extents"), std::string("notes.txt")}));
  EXPECT_EQ(Read(refs[7]), Bytes(107));
  store_->Release(refs[3]);
  EXPECT_EQ(Read(refs[3]), Bytes(103));
  EXPECT_EQ(store_->RemoveUnreferenced(), 0);
}

TEST_F(ExtentStoreTest, AManifestWhoseFileIsGoneIsDataLossAndNothingElse) {
  Open({.max_file_bytes = 1});
  const ExtentRef ref = Append(Bytes(10));
  ASSERT_TRUE(store_->Sync().ok());
  store_.reset();
  ASSERT_TRUE(FileSystem::Posix()->Remove(folder_ / ExtentFileName(ref.file)).ok());
  Open();
  store_->AddReference(ref);
  EXPECT_EQ(ReadError(ref).code(), Code::kDataLoss);
  // The same bytes again do not stand in for those that were lost.
  EXPECT_NE(Append(Bytes(10)).file, ref.file);
  EXPECT_TRUE(store_->Sync().ok());
  store_->Release(ref);
  EXPECT_EQ(Files().size(), 1u);
}

TEST_F(ExtentStoreTest, ReadsMoreFilesThanItKeepsOpen) {
  Open({.max_file_bytes = 1});
  std::vector<ExtentRef> refs;
  for (int i = 0; i < 300; ++i) refs.push_back(Append(Bytes(1, std::byte(i))));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 300; ++i) EXPECT_EQ(Read(refs[i]), Bytes(1, std::byte(i)));
  }
  const std::filesystem::directory_iterator open("/proc/self/fd");
  EXPECT_LT(std::distance(begin(open), end(open)), 200);
}

TEST_F(ExtentStoreTest, ManyThreadsAppendSyncReadAndRelease) {
  Open({.max_file_bytes = 3000});
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      std::mt19937 random(seed);
      for (int round = 0; round < 40; ++round) {
        std::vector<std::pair<ExtentRef, Bytes>> extents;
        for (int i = 0; i < 10; ++i) {
          const Bytes bytes = RandomBytes(random, random() % 500);
          extents.emplace_back(Append(bytes), bytes);
        }
        if (round % 8 == 0) {
          EXPECT_TRUE(store_->Sync().ok());
        }
        for (const auto& [ref, bytes] : extents) EXPECT_EQ(Read(ref), bytes);
        for (const auto& [ref, bytes] : extents) store_->Release(ref);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(Files().size(), 1u);  // the one being written
  EXPECT_LE(store_->stored_bytes(), 3000);
}

TEST_F(ExtentStoreTest, ReleasingTooOftenIsLoud) {
  Open();
  const ExtentRef ref = Append({});
  store_->Release(ref);
  EXPECT_DEATH(store_->Release(ref), "released more often");
}

}  // namespace
}  // namespace eidetic::memory
