#include "server/identity/file_watcher.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

absl::StatusOr<std::string> ReadWatchedFile(const std::string& path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) {
    return absl::InvalidArgumentError(std::strerror(errno));
  }
  // A pipe would have us wait for ever.
  if (!S_ISREG(found.st_mode)) return absl::InvalidArgumentError("is not a file");
  if (found.st_size > kMaxWatchedBytes) {
    return absl::InvalidArgumentError(absl::StrCat("has more than ", kMaxWatchedBytes, " bytes"));
  }
  std::ifstream in(path, std::ios::binary);
  std::string bytes(static_cast<size_t>(found.st_size), '\0');
  in.read(bytes.data(), found.st_size);
  if (!in || in.peek() != std::ifstream::traits_type::eof()) {
    return absl::InvalidArgumentError(
        "can not be read, or changes at this moment; check who may read it");
  }
  return bytes;
}

FileWatcher::~FileWatcher() {
  if (!thread_.joinable()) return;
  end_.Notify();
  thread_.join();
}

std::optional<FileWatcher::Version> FileWatcher::VersionOf(const std::string& path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  return Version{.inode = found.st_ino,
                 .size = found.st_size,
                 .modified_ns = Nanoseconds(found.st_mtim),
                 .changed_ns = Nanoseconds(found.st_ctim)};
}

absl::Status FileWatcher::ReadAndTake(const File& file) {
  const absl::StatusOr<std::string> bytes = ReadWatchedFile(file.path);
  const absl::Status status = bytes.ok() ? file.take(*bytes) : bytes.status();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", file.flag, ": ", file.path, ": ", status.message()));
}

absl::Status FileWatcher::Watch(const std::string& flag, const std::string& path, Take take) {
  File file{flag, path, std::move(take), VersionOf(path)};
  if (absl::Status status = ReadAndTake(file); !status.ok()) return status;
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

void FileWatcher::Start(absl::Duration period) {
  if (files_.empty()) return;
  thread_ = std::thread([this, period] {
    while (!end_.WaitForNotificationWithTimeout(period)) Look();
  });
}

void FileWatcher::Look() {
  for (File& file : files_) {
    // Before it is read: what is written meanwhile makes another version.
    const std::optional<Version> version = VersionOf(file.path);
    if (version == file.version) continue;
    file.version = version;
    told_(file.flag, ReadAndTake(file));
  }
}

}  // namespace eidetic
