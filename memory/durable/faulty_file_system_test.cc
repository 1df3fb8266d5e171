#include "memory/durable/faulty_file_system.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "memory/durable/test_bytes.h"

namespace eidetic::memory {
namespace {

using Operation = FaultyFileSystem::Operation;
using Unsynced = FaultyFileSystem::Unsynced;

class FaultyFileSystemTest : public testing::Test {
 protected:
  // "-" when there is no such file.
  std::string Contents(const std::string& name) {
    auto file = FileSystem::Posix()->Open(folder_ / name);
    if (!file.ok()) return "-";
    std::string text(*(*file)->Size(), '\0');
    EXPECT_TRUE((*file)->Read(0, std::as_writable_bytes(std::span(text))).ok());
    return text;
  }

  const std::filesystem::path folder_ = FreshFolder();
  FaultyFileSystem files_{FileSystem::Posix(), 5};
};

TEST_F(FaultyFileSystemTest, ACrashForgetsWhatWasNotSynced) {
  auto file = *files_.Create(folder_ / "a");
  ASSERT_TRUE(file->Append(BytesOf("synced")).ok() && file->Sync().ok());
  ASSERT_TRUE(files_.SyncFolder(folder_).ok());
  ASSERT_TRUE(file->Append(BytesOf(", not synced")).ok());
  auto unnamed = *files_.Create(folder_ / "b");
  ASSERT_TRUE(unnamed->Append(BytesOf("b")).ok() && unnamed->Sync().ok());
  EXPECT_EQ(Contents("a"), "synced, not synced");
  files_.Crash(Unsynced::kForgotten);
  EXPECT_EQ(Contents("a"), "synced");
  EXPECT_EQ(Contents("b"), "-");
}

TEST_F(FaultyFileSystemTest, ACrashBringsBackWhatWasRemoved) {
  auto file = *files_.Create(folder_ / "a");
  ASSERT_TRUE(file->Append(BytesOf("a")).ok() && file->Sync().ok());
  ASSERT_TRUE(files_.SyncFolder(folder_).ok() && files_.Remove(folder_ / "a").ok());
  EXPECT_EQ(Contents("a"), "-");
  files_.Crash(Unsynced::kForgotten);
  EXPECT_EQ(Contents("a"), "a");
  ASSERT_TRUE(files_.Remove(folder_ / "a").ok() && files_.SyncFolder(folder_).ok());
  files_.Crash(Unsynced::kForgotten);
  EXPECT_EQ(Contents("a"), "-");
}

TEST_F(FaultyFileSystemTest, ACrashForgetsFoldersWhoseParentWasNotSynced) {
  for (const bool synced : {false, true}) {
    const std::string name = synced ? "kept" : "lost";
    ASSERT_TRUE(files_.MakeFolder(folder_ / name).ok());
    auto file = *files_.Create(folder_ / name / "a");
    ASSERT_TRUE(file->Append(BytesOf("a")).ok() && file->Sync().ok());
    ASSERT_TRUE(files_.SyncFolder(folder_ / name).ok());
    if (synced) {
      ASSERT_TRUE(files_.SyncFolder(folder_).ok());
    }
    files_.Crash(Unsynced::kForgotten);
    EXPECT_EQ(Contents(name + "/a"), synced ? "a" : "-");
  }
}

TEST_F(FaultyFileSystemTest, ATornCrashKeepsWhatWasSyncedAndPartsOfTheRest) {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string name = std::to_string(i);
    auto file = *files_.Create(folder_ / name);
    ASSERT_TRUE(file->Append(BytesOf("AB")).ok() && file->Sync().ok());
    ASSERT_TRUE(files_.SyncFolder(folder_).ok());
    ASSERT_TRUE(file->Append(BytesOf("cd")).ok());
  }
  files_.Crash(Unsynced::kTorn);
  for (int i = 0; i < 200; ++i) seen.insert(Contents(std::to_string(i)));
  using namespace std::string_literals;
  EXPECT_EQ(seen, (std::set{"AB"s, "ABc"s, "ABcd"s, "AB\0"s, "ABc\0"s, "AB\0\0"s, "AB\0d"s}));
}

TEST_F(FaultyFileSystemTest, FailsTheOperationItWasToldToAndCounts) {
  auto file = *files_.Create(folder_ / "a");
  files_.Fail(Operation::kAppend, 1, ENOSPC, 2);
  EXPECT_TRUE(file->Append(BytesOf("1234")).ok());
  EXPECT_EQ(file->Append(BytesOf("5678")).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Contents("a"), "123456");
  EXPECT_FALSE(file->Append({}).ok());
  EXPECT_TRUE(file->Append({}).ok());
  EXPECT_EQ(files_.count(Operation::kAppend), 4);
  EXPECT_EQ(files_.count(Operation::kSync), 0);
  files_.Fail(Operation::kCreate, 0, EIO, FaultyFileSystem::kForever);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(files_.Create(folder_ / "b").status().code(), absl::StatusCode::kUnavailable);
  }
  files_.Heal();
  EXPECT_TRUE(files_.Create(folder_ / "b").ok());
}

TEST_F(FaultyFileSystemTest, AfterAFailedSyncLaterOnesMeanNothing) {
  auto file = *files_.Create(folder_ / "a");
  ASSERT_TRUE(files_.SyncFolder(folder_).ok());
  ASSERT_TRUE(file->Append(BytesOf("1")).ok() && file->Sync().ok());
  ASSERT_TRUE(file->Append(BytesOf("2")).ok());
  files_.Fail(Operation::kSync, 0, EIO);
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(file->Sync().ok());
  files_.Crash(Unsynced::kForgotten);
  EXPECT_EQ(Contents("a"), "1");
}

}  // namespace
}  // namespace eidetic::memory
