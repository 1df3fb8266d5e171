// A file system that fails where a test says, and that forgets what was not synced.
//
// What: hands everything on to another file system but for syncs, which it only notes: the
//   crashes are its own. Counts operations by kind, so that a test can fail each in turn.
// Thread safety: thread-safe; Crash alone must find no operation under way.
// Ownership: borrows the other file system. Files opened before a crash may be closed after it,
//   and nothing else.
// Preconditions: whoever writes below its paths writes through it.
#ifndef EIDETIC_MEMORY_DURABLE_FAULTY_FILE_SYSTEM_H_
#define EIDETIC_MEMORY_DURABLE_FAULTY_FILE_SYSTEM_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memory/durable/file_system.h"

namespace eidetic::memory {

class FaultyFileSystem : public FileSystem {
 public:
  enum class Operation {
    kCreate,
    kOpen,
    kMakeFolder,
    kList,
    kRemove,
    kSyncFolder,
    kAppend,
    kSync,
    kRead
  };
  static constexpr int kOperations = 9;
  static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

  FaultyFileSystem(FileSystem* files, uint32_t seed) : files_(files), random_(seed) {}

  // After `passes` more operations of this kind, `times` of them fail with this errno. A failing
  // append writes half its bytes. After a failing sync nothing appended before ever becomes
  // durable, whatever later syncs say: so Linux does it.
  void Fail(Operation operation, int64_t passes, int error, int64_t times = 1);
  void Heal();                               // nothing fails from now on
  int64_t count(Operation operation) const;  // done or failed so far

  enum class Unsynced {
    kForgotten,
    kTorn,  // of unsynced bytes a part survives, partly as zeros; of other changes some do
  };
  // As after a loss of power: contents are as of each file's last good sync, creations and
  // removals as of the folder's.
  void Crash(Unsynced unsynced);

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(
      const std::filesystem::path& path) override;
  absl::Status MakeFolder(const std::filesystem::path& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::filesystem::path& folder) override;
  absl::Status Remove(const std::filesystem::path& path) override;
  absl::Status SyncFolder(const std::filesystem::path& folder) override;

 private:
  class Writer;
  class Reader;
  struct Fault {
    int64_t passes = 0;
    int64_t times = 0;
    int error = 0;
  };
  struct Content {
    std::string bytes;
    size_t synced = 0;         // of bytes
    bool sync_failed = false;  // `synced` stays
  };
  // What a folder's entry is now, and what it was when the folder was last synced.
  struct Entry {
    std::shared_ptr<Content> now, durable;  // null: no file
  };

  // Counts it, and fails it if its turn has come.
  absl::Status Begin(Operation operation, const std::filesystem::path& path);
  std::string Surviving(const Content& content, Unsynced unsynced)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool FolderSurvives(const std::filesystem::path& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const files_;
  mutable absl::Mutex mutex_;
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
  std::array<Fault, kOperations> faults_ ABSL_GUARDED_BY(mutex_);
  std::array<int64_t, kOperations> counts_ ABSL_GUARDED_BY(mutex_) = {};
  std::map<std::filesystem::path, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<std::filesystem::path, bool> folders_ ABSL_GUARDED_BY(mutex_);  // made here; durable?
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_FAULTY_FILE_SYSTEM_H_
