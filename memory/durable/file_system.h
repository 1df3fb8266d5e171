// The few things that durable storage asks of a file system.
//
// What: append-only files, whole reads by offset, directory sync. One implementation over
//   POSIX; tests have one that fails, fills up or forgets what was not synced.
// Thread safety: a FileSystem is thread-safe; a file is used by one thread at a time, but
//   reads of a RandomAccessFile may run at once.
// Ownership: files close what they opened; they borrow nothing from the FileSystem.
// Preconditions: paths lie below one data folder.
// Errors: RESOURCE_EXHAUSTED when the device is full (ENOSPC, EDQUOT), NOT_FOUND for a missing
//   file, UNAVAILABLE for everything else (EIO); the message names path and errno.
#ifndef EIDETIC_MEMORY_DURABLE_FILE_SYSTEM_H_
#define EIDETIC_MEMORY_DURABLE_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace eidetic::memory {

class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Adds `bytes` at the end: all of them, or an error after which the end is unknown and the
  // file is not to be written again.
  virtual absl::Status Append(std::span<const std::byte> bytes) = 0;
  // When it returns OK, everything appended so far survives a crash.
  virtual absl::Status Sync() = 0;
};

class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Fills `to` from `offset`. DATA_LOSS when the file ends before.
  virtual absl::Status Read(int64_t offset, std::span<std::byte> to) const = 0;
  // These bytes will be read soon: they may be fetched beforehand. Does not wait for them.
  virtual void WillRead(int64_t offset, int64_t bytes) const {}
  virtual absl::StatusOr<int64_t> Size() const = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // A new, empty file; ALREADY_EXISTS when there is one.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(
      const std::filesystem::path& path) = 0;
  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(
      const std::filesystem::path& path) = 0;
  // OK when it is there already; its parent must be. It survives a crash once the parent was
  // synced.
  virtual absl::Status MakeFolder(const std::filesystem::path& path) = 0;
  // Names (not paths) of the files in a folder, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::filesystem::path& folder) = 0;
  virtual absl::Status Remove(const std::filesystem::path& path) = 0;
  // Makes creations and removals in `folder` survive a crash.
  virtual absl::Status SyncFolder(const std::filesystem::path& folder) = 0;

  static FileSystem* Posix();  // never destroyed
};

// What a failed system call means: the codes above. `doing` is a verb: "write".
absl::Status FileError(int error, std::string_view doing, const std::filesystem::path& path);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_FILE_SYSTEM_H_
