// Files that are taken again when they change.
//
// What: each period a file's size, times and inode are looked at. A changed one is read, and given
//   to its owner whole, who takes it or refuses it; refused, or unreadable, it leaves what was
//   there. One that is written at that moment is refused, and looked at again.
// Thread safety: Watch comes before Start; Look before Start, or in a test without it. `take` and
//   `told` are called from one thread at a time. Ownership: owns its thread, which ends with it;
//   what the callbacks use outlives it. Preconditions: none; files may be anything.
#ifndef EIDETIC_SERVER_IDENTITY_FILE_WATCHER_H_
#define EIDETIC_SERVER_IDENTITY_FILE_WATCHER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace eidetic {

// Larger files are refused.
inline constexpr int64_t kMaxWatchedBytes = 4 << 20;

// The file's bytes. INVALID_ARGUMENT when it is no file, can not be read or is too large.
absl::StatusOr<std::string> ReadWatchedFile(const std::string& path);

class FileWatcher {
 public:
  // Takes the file's bytes, or says what is wrong with them, changing nothing.
  using Take = std::function<absl::Status(const std::string& bytes)>;
  // The file of `flag` changed and was taken (OK), or why it was not.
  using Told = std::function<void(const std::string& flag, const absl::Status& status)>;

  explicit FileWatcher(Told told) : told_(std::move(told)) {}
  ~FileWatcher();

  // Takes the file for the first time. INVALID_ARGUMENT "--flag: path: what is wrong".
  absl::Status Watch(const std::string& flag, const std::string& path, Take take);
  // Looks at all files each `period` from now on.
  void Start(absl::Duration period);
  // Looks at all files once.
  void Look();

 private:
  // What tells one version of a file from another; none for a file that is not there.
  struct Version {
    ino_t inode;
    off_t size;
    int64_t modified_ns, changed_ns;
    bool operator==(const Version&) const = default;
  };
  struct File {
    std::string flag, path;
    Take take;
    std::optional<Version> version;  // that was read last
  };
  static std::optional<Version> VersionOf(const std::string& path);
  static absl::Status ReadAndTake(const File& file);

  const Told told_;
  std::vector<File> files_;
  absl::Notification end_;
  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_FILE_WATCHER_H_
