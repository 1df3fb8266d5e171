#include "memory/durable/faulty_env.h"

#include <rocksdb/file_system.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace eidetic::memory {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

enum class Change { kCreate, kAppend, kSync, kRename, kRemove };

class FaultyFiles : public rocksdb::FileSystemWrapper {
 public:
  FaultyFiles() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultyFiles"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override;
  IOStatus ReopenWritableFile(const std::string&, const rocksdb::FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported();
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory,
                        IODebugContext* debug) override;
  // RocksDB's own log lies on the same disk, if it has one.
  IOStatus NewLogger(const std::string& path, const IOOptions& options,
                     std::shared_ptr<rocksdb::Logger>* logger, IODebugContext* debug) override {
    return rocksdb::FileSystem::NewLogger(path, options, logger, debug);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override;

  IOStatus Begin(Change change);
  void Appended(const std::string& path, uint64_t bytes);
  IOStatus SyncFile(const std::string& path);
  IOStatus SyncFolder(const std::string& folder);

  void FailAfter(int64_t skip, DiskFault fault, int64_t times);
  bool failed() const;
  int64_t changes() const;
  void set_sync_time(absl::Duration time);
  void HoldSyncs(bool held);
  int held_syncs() const;
  void Crash(std::mt19937_64* random);

 private:
  struct File {
    uint64_t bytes = 0, synced = 0;
    bool in_folder = false;  // survives: its folder was synced
  };
  void FolderSynced(const std::string& folder) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tear(const std::string& path, const File& file, std::mt19937_64* random);

  mutable absl::Mutex mutex_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> removed_logs_ ABSL_GUARDED_BY(mutex_);  // with content
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t skip_ ABSL_GUARDED_BY(mutex_) = 0, times_ ABSL_GUARDED_BY(mutex_) = 0;
  DiskFault fault_ ABSL_GUARDED_BY(mutex_) = DiskFault::kNone;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration sync_time_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // syncs
};

namespace {

class FaultyFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultyFile(FaultyFiles* files, std::string path, std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), files_(files), path_(std::move(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    const IOStatus fault = files_->Begin(Change::kAppend);
    const Slice part(data.data(), fault.ok() ? data.size() : data.size() / 2);
    const IOStatus status = target()->Append(part, options, debug);
    files_->Appended(path_, part.size());
    return fault.ok() ? status : fault;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return files_->SyncFile(path_); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return files_->SyncFile(path_); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FaultyFiles* const files_;
  const std::string path_;
};

class FaultyFolder : public rocksdb::FSDirectoryWrapper {
 public:
  FaultyFolder(FaultyFiles* files, std::string path, std::unique_ptr<rocksdb::FSDirectory> folder)
      : FSDirectoryWrapper(std::move(folder)), files_(files), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return files_->SyncFolder(path_); }
  IOStatus FsyncWithDirOptions(const IOOptions&, IODebugContext*,
                               const rocksdb::DirFsyncOptions&) override {
    return files_->SyncFolder(path_);
  }

 private:
  FaultyFiles* const files_;
  const std::string path_;
};

// One path, one name: RocksDB doubles slashes at times.
std::string Plain(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

std::string FolderOf(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

IOStatus FaultyFiles::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      IODebugContext* debug) {
  IOStatus status = Begin(Change::kCreate);
  std::unique_ptr<rocksdb::FSWritableFile> plain;
  if (status.ok()) status = target()->NewWritableFile(path, options, &plain, debug);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  files_[Plain(path)] = File{};
  *file = std::make_unique<FaultyFile>(this, Plain(path), std::move(plain));
  return status;
}

IOStatus FaultyFiles::NewDirectory(const std::string& path, const IOOptions& options,
                                   std::unique_ptr<rocksdb::FSDirectory>* directory,
                                   IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSDirectory> plain;
  const IOStatus status = target()->NewDirectory(path, options, &plain, debug);
  if (status.ok()) {
    std::string folder = Plain(path);
    if (folder.back() == '/') folder.pop_back();
    *directory = std::make_unique<FaultyFolder>(this, std::move(folder), std::move(plain));
  }
  return status;
}

IOStatus FaultyFiles::RenameFile(const std::string& from, const std::string& to,
                                 const IOOptions& options, IODebugContext* debug) {
  IOStatus status = Begin(Change::kRename);
  if (status.ok()) status = target()->RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  if (auto file = files_.extract(Plain(from))) {
    files_[Plain(to)] = file.mapped();
  }
  // Journaling file systems keep the order of a folder's changes; a rename stands for their end.
  FolderSynced(FolderOf(Plain(to)));
  return status;
}

IOStatus FaultyFiles::DeleteFile(const std::string& path, const IOOptions& options,
                                 IODebugContext* debug) {
  IOStatus status = Begin(Change::kRemove);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  if (absl::EndsWith(path, ".log")) removed_logs_[Plain(path)] = ReadAll(path);
  files_.erase(Plain(path));
  return target()->DeleteFile(path, options, debug);
}

IOStatus FaultyFiles::Begin(Change change) {
  absl::MutexLock lock(&mutex_);
  ++changes_;
  if (fault_ == DiskFault::kNone || skip_-- > 0 || times_ == 0) return IOStatus::OK();
  if (fault_ == DiskFault::kNoSpace && (change == Change::kSync || change == Change::kRemove)) {
    return IOStatus::OK();
  }
  --times_;
  failed_ = true;
  return fault_ == DiskFault::kNoSpace ? IOStatus::NoSpace("made up")
                                       : IOStatus::IOError("made up");
}

void FaultyFiles::Appended(const std::string& path, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  files_[path].bytes += bytes;
}

IOStatus FaultyFiles::SyncFile(const std::string& path) {
  absl::Duration time;
  {
    absl::MutexLock lock(&mutex_);
    time = sync_time_;
    ++waiting_;
    const auto released = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !held_; };
    mutex_.Await(absl::Condition(&released));
    --waiting_;
  }
  absl::SleepFor(time);
  const IOStatus fault = Begin(Change::kSync);
  if (!fault.ok()) return fault;
  absl::MutexLock lock(&mutex_);
  files_[path].synced = files_[path].bytes;
  return IOStatus::OK();
}

IOStatus FaultyFiles::SyncFolder(const std::string& folder) {
  const IOStatus fault = Begin(Change::kSync);
  if (!fault.ok()) return fault;
  absl::MutexLock lock(&mutex_);
  FolderSynced(folder);
  return IOStatus::OK();
}

void FaultyFiles::FolderSynced(const std::string& folder) {
  for (auto& [path, file] : files_) file.in_folder |= FolderOf(path) == folder;
  std::erase_if(removed_logs_, [&](const auto& log) { return FolderOf(log.first) == folder; });
}

void FaultyFiles::FailAfter(int64_t skip, DiskFault fault, int64_t times) {
  absl::MutexLock lock(&mutex_);
  skip_ = skip;
  times_ = times;
  fault_ = fault;
  failed_ = false;
}

bool FaultyFiles::failed() const {
  absl::MutexLock lock(&mutex_);
  return failed_;
}

int64_t FaultyFiles::changes() const {
  absl::MutexLock lock(&mutex_);
  return changes_;
}

void FaultyFiles::HoldSyncs(bool held) {
  absl::MutexLock lock(&mutex_);
  held_ = held;
}

int FaultyFiles::held_syncs() const {
  absl::MutexLock lock(&mutex_);
  return waiting_;
}

void FaultyFiles::set_sync_time(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  sync_time_ = time;
}

// Of what was not synced any part may be there, and of a log's any sector in it may not: its
// writes are large. A manifest's are small, and RocksDB takes no other than a cut tail there.
void FaultyFiles::Tear(const std::string& path, const File& file, std::mt19937_64* random) {
  const uint64_t unsynced = file.bytes - file.synced;
  const uint64_t kept = unsynced == 0 ? 0 : (*random)() % (unsynced + 1);
  std::filesystem::resize_file(path, file.synced + kept);
  if (kept == 0 || !absl::EndsWith(path, ".log") || (*random)() % 2 == 0) return;
  const uint64_t begin = (*random)() % kept;
  const std::string zeros(1 + (*random)() % (kept - begin), '\0');
  std::fstream torn(path, std::ios::binary | std::ios::in | std::ios::out);
  torn.seekp(static_cast<std::streamoff>(file.synced + begin)).write(zeros.data(), zeros.size());
}

void FaultyFiles::Crash(std::mt19937_64* random) {
  FailAfter(0, DiskFault::kNone, 0);
  absl::MutexLock lock(&mutex_);
  for (const auto& [path, file] : files_) {
    if (!file.in_folder && (*random)() % 2 == 0) {
      std::filesystem::remove(path);
    } else {
      Tear(path, file, random);
    }
  }
  for (const auto& [path, content] : removed_logs_) {
    if ((*random)() % 2 == 0) std::ofstream(path, std::ios::binary) << content;
  }
  files_.clear();
  removed_logs_.clear();
}

FaultyEnv::FaultyEnv()
    : files_(std::make_shared<FaultyFiles>()), env_(rocksdb::NewCompositeEnv(files_)) {}
FaultyEnv::~FaultyEnv() = default;

void FaultyEnv::FailAfter(int64_t skip, DiskFault fault, int64_t times) {
  files_->FailAfter(skip, fault, times);
}
void FaultyEnv::Heal() { files_->FailAfter(0, DiskFault::kNone, 0); }
bool FaultyEnv::failed() const { return files_->failed(); }
int64_t FaultyEnv::changes() const { return files_->changes(); }
void FaultyEnv::set_sync_time(absl::Duration time) { files_->set_sync_time(time); }
void FaultyEnv::HoldSyncs() { files_->HoldSyncs(true); }
void FaultyEnv::ReleaseSyncs() { files_->HoldSyncs(false); }
int FaultyEnv::held_syncs() const { return files_->held_syncs(); }
void FaultyEnv::Crash(std::mt19937_64* random) { files_->Crash(random); }

}  // namespace eidetic::memory
