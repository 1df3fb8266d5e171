#include "memory/durable/faulty_file_system.h"

#include <glog/logging.h>

#include <utility>

namespace eidetic::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, FaultyFileSystem::kOperations> kVerbs = {
    "create", "open", "make folder", "list", "remove", "sync folder", "write", "sync", "read"};

}  // namespace

class FaultyFileSystem::Writer : public WritableFile {
 public:
  Writer(FaultyFileSystem* system, fs::path path, std::shared_ptr<Content> content,
         std::unique_ptr<WritableFile> file)
      : system_(system),
        path_(std::move(path)),
        content_(std::move(content)),
        file_(std::move(file)) {}

  absl::Status Append(std::span<const std::byte> bytes) override {
    const absl::Status status = system_->Begin(Operation::kAppend, path_);
    if (!status.ok()) bytes = bytes.first(bytes.size() / 2);
    {
      absl::MutexLock lock(&system_->mutex_);
      content_->bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    const absl::Status written = file_->Append(bytes);
    return status.ok() ? written : status;
  }

  absl::Status Sync() override {
    const absl::Status status = system_->Begin(Operation::kSync, path_);
    absl::MutexLock lock(&system_->mutex_);
    if (!status.ok()) content_->sync_failed = true;
    if (!content_->sync_failed) content_->synced = content_->bytes.size();
    return status;
  }

 private:
  FaultyFileSystem* const system_;
  const fs::path path_;
  const std::shared_ptr<Content> content_;
  const std::unique_ptr<WritableFile> file_;
};

class FaultyFileSystem::Reader : public RandomAccessFile {
 public:
  Reader(FaultyFileSystem* system, fs::path path, std::unique_ptr<RandomAccessFile> file)
      : system_(system), path_(std::move(path)), file_(std::move(file)) {}

  absl::Status Read(int64_t offset, std::span<std::byte> to) const override {
    const absl::Status status = system_->Begin(Operation::kRead, path_);
    return status.ok() ? file_->Read(offset, to) : status;
  }
  absl::StatusOr<int64_t> Size() const override { return file_->Size(); }

 private:
  FaultyFileSystem* const system_;
  const fs::path path_;
  const std::unique_ptr<RandomAccessFile> file_;
};

void FaultyFileSystem::Fail(Operation operation, int64_t passes, int error, int64_t times) {
  absl::MutexLock lock(&mutex_);
  faults_[static_cast<int>(operation)] = {passes, times, error};
}

void FaultyFileSystem::Heal() {
  absl::MutexLock lock(&mutex_);
  faults_ = {};
}

int64_t FaultyFileSystem::count(Operation operation) const {
  absl::MutexLock lock(&mutex_);
  return counts_[static_cast<int>(operation)];
}

absl::Status FaultyFileSystem::Begin(Operation operation, const fs::path& path) {
  absl::MutexLock lock(&mutex_);
  const int kind = static_cast<int>(operation);
  ++counts_[kind];
  Fault& fault = faults_[kind];
  if (fault.times == 0 || fault.passes-- > 0) return absl::OkStatus();
  fault.passes = 0;
  if (fault.times != kForever) --fault.times;
  return FileError(fault.error, kVerbs[kind], path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyFileSystem::Create(const fs::path& path) {
  if (absl::Status status = Begin(Operation::kCreate, path); !status.ok()) return status;
  auto created = files_->Create(path);
  if (!created.ok()) return created;
  auto content = std::make_shared<Content>();
  absl::MutexLock lock(&mutex_);
  entries_[path].now = content;
  return std::make_unique<Writer>(this, path, std::move(content), *std::move(created));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> FaultyFileSystem::Open(const fs::path& path) {
  if (absl::Status status = Begin(Operation::kOpen, path); !status.ok()) return status;
  auto opened = files_->Open(path);
  if (!opened.ok()) return opened;
  return std::make_unique<Reader>(this, path, *std::move(opened));
}

absl::Status FaultyFileSystem::MakeFolder(const fs::path& path) {
  if (absl::Status status = Begin(Operation::kMakeFolder, path); !status.ok()) return status;
  const bool there = fs::exists(path);
  absl::Status made = files_->MakeFolder(path);
  absl::MutexLock lock(&mutex_);
  if (made.ok() && !there) folders_[path] = false;
  return made;
}

absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(const fs::path& folder) {
  if (absl::Status status = Begin(Operation::kList, folder); !status.ok()) return status;
  return files_->List(folder);
}

absl::Status FaultyFileSystem::Remove(const fs::path& path) {
  if (absl::Status status = Begin(Operation::kRemove, path); !status.ok()) return status;
  if (absl::Status removed = files_->Remove(path); !removed.ok()) return removed;
  absl::MutexLock lock(&mutex_);
  entries_[path].now = nullptr;
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::SyncFolder(const fs::path& folder) {
  if (absl::Status status = Begin(Operation::kSyncFolder, folder); !status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  for (auto& [path, entry] : entries_) {
    if (path.parent_path() == folder) entry.durable = entry.now;
  }
  for (auto& [path, durable] : folders_) {
    if (path.parent_path() == folder) durable = true;
  }
  return absl::OkStatus();
}

bool FaultyFileSystem::FolderSurvives(const fs::path& path) const {
  const auto folder = folders_.find(path.parent_path());
  return folder == folders_.end() || folder->second;
}

std::string FaultyFileSystem::Surviving(const Content& content, Unsynced unsynced) {
  if (unsynced == Unsynced::kForgotten) return content.bytes.substr(0, content.synced);
  const size_t loose = content.bytes.size() - content.synced;
  std::string bytes = content.bytes.substr(0, content.synced + random_() % (loose + 1));
  const size_t kept = bytes.size() - content.synced;
  // A file's length may reach the disk before the bytes do.
  const size_t begin = content.synced + random_() % (kept + 1);
  const size_t zeros = random_() % (bytes.size() - begin + 1);
  return bytes.replace(begin, zeros, zeros, '\0');
}

void FaultyFileSystem::Crash(Unsynced unsynced) {
  absl::MutexLock lock(&mutex_);
  std::map<fs::path, Entry> survivors;
  for (const auto& [path, entry] : entries_) {
    const bool early = unsynced == Unsynced::kTorn && random_() % 2;
    const std::shared_ptr<Content> kept = early ? entry.now : entry.durable;
    if (entry.now != nullptr) CHECK(files_->Remove(path).ok()) << path;
    if (kept == nullptr || !FolderSurvives(path)) continue;
    auto content = std::make_shared<Content>();
    content->bytes = Surviving(*kept, unsynced);
    content->synced = content->bytes.size();
    auto file = files_->Create(path);
    CHECK(file.ok() && (*file)->Append(std::as_bytes(std::span(content->bytes))).ok()) << path;
    survivors[path] = {content, content};
  }
  entries_ = std::move(survivors);
}

}  // namespace eidetic::memory
