#include "server/identity/file_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/synchronization/mutex.h"

namespace eidetic {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FileWatcherTest : public ::testing::Test {
 protected:
  FileWatcherTest() : path_(fs::path(::testing::TempDir()) / "watched") { fs::remove_all(path_); }

  void Write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }
  void Replace(const std::string& text) {
    std::ofstream(path_.string() + ".new", std::ios::binary) << text;
    fs::rename(path_.string() + ".new", path_);
  }
  // Takes what begins with "good".
  absl::Status Watch() {
    return watcher_.Watch("file", path_.string(), [this](const std::string& bytes) {
      if (!bytes.starts_with("good")) return absl::InvalidArgumentError("is not good");
      absl::MutexLock lock(&mutex_);
      taken_ = bytes;
      return absl::OkStatus();
    });
  }
  std::string taken() {
    absl::MutexLock lock(&mutex_);
    return taken_;
  }

  const fs::path path_;
  absl::Mutex mutex_;
  std::string taken_;
  std::vector<std::string> told_;  // "" for OK
  FileWatcher watcher_{[this](const std::string& flag, const absl::Status& status) {
    EXPECT_EQ(flag, "file");
    absl::MutexLock lock(&mutex_);
    told_.emplace_back(status.message());
  }};
};

TEST_F(FileWatcherTest, ANewVersionIsTakenOnce) {
  Write("good 1");
  ASSERT_TRUE(Watch().ok());
  EXPECT_EQ(taken(), "good 1");
  watcher_.Look();
  EXPECT_TRUE(told_.empty());
  Replace("good 2");
  watcher_.Look();
  watcher_.Look();
  EXPECT_EQ(taken(), "good 2");
  EXPECT_EQ(told_, std::vector<std::string>{""});
  Write("good, and written in place");
  watcher_.Look();
  EXPECT_EQ(taken(), "good, and written in place");
}

TEST_F(FileWatcherTest, ABadVersionLeavesTheOldOne) {
  Write("good 1");
  ASSERT_TRUE(Watch().ok());
  Replace("bad");
  watcher_.Look();
  watcher_.Look();  // told once
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0], "--file: " + path_.string() + ": is not good");
  fs::remove(path_);
  watcher_.Look();
  EXPECT_EQ(told_.size(), 2u);
  EXPECT_THAT(told_.back(), HasSubstr("No such file"));
  fs::create_directory(path_);
  watcher_.Look();
  EXPECT_THAT(told_.back(), HasSubstr("is not a file"));
  fs::remove(path_);
  Write(std::string(kMaxWatchedBytes + 1, 'x'));
  watcher_.Look();
  EXPECT_THAT(told_.back(), HasSubstr("more than"));
  EXPECT_EQ(taken(), "good 1");
  Replace("good 2");
  watcher_.Look();
  EXPECT_EQ(taken(), "good 2");
}

TEST_F(FileWatcherTest, TheFirstVersionMustBeGood) {
  EXPECT_THAT(std::string(Watch().message()), HasSubstr("--file: " + path_.string() + ": No such"));
  Write("bad");
  EXPECT_FALSE(Watch().ok());
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);  // reading it would never end
  EXPECT_THAT(std::string(Watch().message()), HasSubstr("is not a file"));
}

TEST_F(FileWatcherTest, LinksAreFollowedToTheirNewEnds) {
  const fs::path a = path_.string() + ".a", b = path_.string() + ".b";
  std::ofstream(a) << "good a";
  std::ofstream(b) << "good b";
  fs::create_symlink(a, path_);
  ASSERT_TRUE(Watch().ok());
  fs::remove(path_);
  fs::create_symlink(b, path_);
  watcher_.Look();
  EXPECT_EQ(taken(), "good b");
}

TEST_F(FileWatcherTest, LooksByItself) {
  Write("good 1");
  ASSERT_TRUE(Watch().ok());
  watcher_.Start(absl::Milliseconds(5));
  Replace("good 2");
  absl::MutexLock lock(&mutex_);
  const auto taken = [this] { return taken_ == "good 2"; };
  EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&taken), absl::Seconds(20)));
}

}  // namespace
}  // namespace eidetic
