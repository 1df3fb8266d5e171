#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>

#include "memory/durable/file_system.h"
#include "memory/durable/test_bytes.h"

// What the next system calls of this thread do instead: fail with an errno (negative), or take
// at most so many bytes. Empty: what they always do.
thread_local std::deque<int> script;

namespace {

ssize_t Scripted(long number, int file, void* bytes, size_t count, off_t offset) {
  if (!script.empty()) {
    const int next = script.front();
    script.pop_front();
    if (next < 0) {
      errno = -next;
      return -1;
    }
    count = std::min(count, static_cast<size_t>(next));
  }
  return syscall(number, file, bytes, count, offset);
}

}  // namespace

// The C library's names: the code under test calls these.
extern "C" {
ssize_t write(int file, const void* bytes, size_t count) {
  return Scripted(SYS_write, file, const_cast<void*>(bytes), count, 0);
}
ssize_t pread(int file, void* bytes, size_t count, off_t offset) {
  return Scripted(SYS_pread64, file, bytes, count, offset);
}
int fdatasync(int file) { return Scripted(SYS_fdatasync, file, nullptr, 0, 0); }
int fsync(int file) { return Scripted(SYS_fsync, file, nullptr, 0, 0); }
}

namespace eidetic::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

class PosixFileSystemTest : public testing::Test {
 protected:
  std::string Contents() {
    auto file = files_->Open(path_);
    std::string text(*(*file)->Size(), '\0');
    EXPECT_TRUE((*file)->Read(0, std::as_writable_bytes(std::span(text))).ok());
    return text;
  }

  FileSystem* const files_ = FileSystem::Posix();
  const std::filesystem::path folder_ = FreshFolder();
  const std::filesystem::path path_ = folder_ / "file";
};

TEST_F(PosixFileSystemTest, GivesBackWhatWasAppended) {
  auto file = files_->Create(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->Append(BytesOf("one ")).ok());
  EXPECT_TRUE((*file)->Append({}).ok());
  EXPECT_TRUE((*file)->Append(BytesOf("two")).ok());
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_TRUE(files_->SyncFolder(folder_).ok());
  EXPECT_EQ(Contents(), "one two");
}

TEST_F(PosixFileSystemTest, ReadsByOffsetAndSaysWhenTheFileEnds) {
  ASSERT_TRUE((*files_->Create(path_))->Append(BytesOf("abcdef")).ok());
  auto file = *files_->Open(path_);
  std::string text(3, '\0');
  const auto to = std::as_writable_bytes(std::span(text));
  EXPECT_TRUE(file->Read(3, to).ok());
  EXPECT_EQ(text, "def");
  EXPECT_EQ(file->Read(4, to).code(), Code::kDataLoss);
  EXPECT_EQ(file->Read(600, to).code(), Code::kDataLoss);
  EXPECT_TRUE(file->Read(6, {}).ok());
}

TEST_F(PosixFileSystemTest, CreatesNoFileTwice) {
  ASSERT_TRUE((*files_->Create(path_))->Append(BytesOf("kept")).ok());
  EXPECT_EQ(files_->Create(path_).status().code(), Code::kAlreadyExists);
  EXPECT_EQ(Contents(), "kept");
}

TEST_F(PosixFileSystemTest, NamesWhatIsMissing) {
  for (const absl::Status& status :
       {files_->Open(path_).status(), files_->Remove(path_), files_->List(path_).status(),
        files_->SyncFolder(path_), files_->Create(path_ / "x").status(),
        files_->MakeFolder(path_ / "x")}) {
    EXPECT_EQ(status.code(), Code::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_.string()));
  }
}

TEST_F(PosixFileSystemTest, ListsFilesInOrderAndRemovesThem) {
  for (const char* name : {"b", "c", "a"}) ASSERT_TRUE(files_->Create(folder_ / name).ok());
  ASSERT_TRUE(files_->MakeFolder(folder_ / "aa").ok());
  EXPECT_THAT(*files_->List(folder_), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(files_->Remove(folder_ / "b").ok());
  EXPECT_THAT(*files_->List(folder_), ElementsAre("a", "c"));
}

TEST_F(PosixFileSystemTest, MakesAFolderOnceAndNoFileIntoOne) {
  EXPECT_TRUE(files_->MakeFolder(folder_ / "made").ok());
  EXPECT_TRUE(files_->MakeFolder(folder_ / "made").ok());
  ASSERT_TRUE(files_->Create(path_).ok());
  EXPECT_FALSE(files_->MakeFolder(path_).ok());
}

TEST_F(PosixFileSystemTest, OthersCanNotReadWhatItWrites) {
  ASSERT_TRUE(files_->Create(path_).ok());
  using std::filesystem::perms;
  const perms others = perms::group_all | perms::others_all;
  EXPECT_EQ(std::filesystem::status(path_).permissions() & others, perms::none);
}

TEST_F(PosixFileSystemTest, WritesAndReadsOnAfterSignalsAndShortCalls) {
  auto file = *files_->Create(path_);
  script = {3, -EINTR, -EINTR, 1, 2};
  EXPECT_TRUE(file->Append(BytesOf("abcdefghij")).ok());
  EXPECT_TRUE(script.empty());
  script = {-EINTR};
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_TRUE(script.empty());
  script = {-EINTR};
  EXPECT_TRUE(files_->SyncFolder(folder_).ok());
  EXPECT_TRUE(script.empty());
  script = {2, -EINTR, 5};
  EXPECT_EQ(Contents(), "abcdefghij");
  EXPECT_TRUE(script.empty());
}

TEST_F(PosixFileSystemTest, TellsAFullDeviceFromABrokenOne) {
  auto file = *files_->Create(path_);
  for (const auto& [error, code] :
       {std::pair(ENOSPC, Code::kResourceExhausted), std::pair(EDQUOT, Code::kResourceExhausted),
        std::pair(EIO, Code::kUnavailable)}) {
    script = {4, -error};
    const absl::Status written = file->Append(BytesOf("abcdefgh"));
    EXPECT_EQ(written.code(), code);
    EXPECT_THAT(std::string(written.message()), HasSubstr(path_.string()));
    EXPECT_THAT(std::string(written.message()), HasSubstr(std::to_string(error)));
    script = {-error};
    EXPECT_EQ(file->Sync().code(), code);
    script = {-error};
    EXPECT_EQ(files_->SyncFolder(folder_).code(), code);
  }
  script = {-EIO};
  std::byte byte;
  EXPECT_EQ((*files_->Open(path_))->Read(0, std::span(&byte, 1)).code(), Code::kUnavailable);
}

TEST_F(PosixFileSystemTest, AWriteThatTakesNothingDoesNotHang) {
  auto file = *files_->Create(path_);
  script = {0};
  EXPECT_EQ(file->Append(BytesOf("a")).code(), Code::kUnavailable);
}

}  // namespace
}  // namespace eidetic::memory
