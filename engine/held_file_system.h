// A FileSystem whose reads or syncs wait until the test lets them go.
//
// Thread safety: thread-safe. Ownership: borrows the file system that does the work.
// Preconditions: Release before those who wait are to end.
#ifndef EIDETIC_ENGINE_HELD_FILE_SYSTEM_H_
#define EIDETIC_ENGINE_HELD_FILE_SYSTEM_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memory/durable/file_system.h"

namespace eidetic {

class HeldFileSystem : public memory::FileSystem {
 public:
  explicit HeldFileSystem(memory::FileSystem* files) : files_(files) {}

  // After the next `free` ones.
  void HoldReads(int free = 0) {
    Set(&reads_.held, true);
    absl::MutexLock lock(&mutex_);
    reads_.free = free;
  }
  void HoldSyncs() { Set(&syncs_.held, true); }
  void Release() {
    Set(&reads_.held, false);
    Set(&syncs_.held, false);
  }
  // Since HoldReads: those that wait, and all.
  int held_reads() const { return Get(&reads_.waiting); }
  int held_syncs() const { return Get(&syncs_.waiting); }
  int reads() const { return Get(&reads_.begun); }

  absl::StatusOr<std::unique_ptr<memory::WritableFile>> Create(
      const std::filesystem::path& path) override {
    auto file = files_->Create(path);
    if (!file.ok()) return file;
    return std::make_unique<Writer>(this, *std::move(file));
  }
  absl::StatusOr<std::unique_ptr<memory::RandomAccessFile>> Open(
      const std::filesystem::path& path) override {
    auto file = files_->Open(path);
    if (!file.ok()) return file;
    return std::make_unique<Reader>(this, *std::move(file));
  }
  absl::Status MakeFolder(const std::filesystem::path& path) override {
    return files_->MakeFolder(path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::filesystem::path& folder) override {
    return files_->List(folder);
  }
  absl::Status Remove(const std::filesystem::path& path) override { return files_->Remove(path); }
  absl::Status SyncFolder(const std::filesystem::path& folder) override {
    return files_->SyncFolder(folder);
  }

 private:
  struct Gate {
    bool held = false;
    int waiting = 0, begun = 0;
    int free = 0;  // to pass though it is held
  };
  class Writer : public memory::WritableFile {
   public:
    Writer(HeldFileSystem* disk, std::unique_ptr<memory::WritableFile> file)
        : disk_(disk), file_(std::move(file)) {}
    absl::Status Append(std::span<const std::byte> bytes) override { return file_->Append(bytes); }
    absl::Status Sync() override {
      disk_->Pass(&disk_->syncs_);
      return file_->Sync();
    }

   private:
    HeldFileSystem* disk_;
    std::unique_ptr<memory::WritableFile> file_;
  };
  class Reader : public memory::RandomAccessFile {
   public:
    Reader(HeldFileSystem* disk, std::unique_ptr<memory::RandomAccessFile> file)
        : disk_(disk), file_(std::move(file)) {}
    absl::Status Read(int64_t offset, std::span<std::byte> to) const override {
      disk_->Pass(&disk_->reads_);
      return file_->Read(offset, to);
    }
    absl::StatusOr<int64_t> Size() const override { return file_->Size(); }

   private:
    HeldFileSystem* disk_;
    std::unique_ptr<memory::RandomAccessFile> file_;
  };

  void Set(bool* held, bool value) {
    absl::MutexLock lock(&mutex_);
    *held = value;
    if (value) reads_.begun = 0;
  }
  int Get(const int* count) const {
    absl::MutexLock lock(&mutex_);
    return *count;
  }
  void Pass(Gate* gate) {
    absl::MutexLock lock(&mutex_);
    ++gate->begun;
    if (gate->free > 0) {
      --gate->free;
      return;
    }
    ++gate->waiting;
    const auto open = [gate] { return !gate->held; };
    mutex_.Await(absl::Condition(&open));
    --gate->waiting;
  }

  memory::FileSystem* const files_;
  mutable absl::Mutex mutex_;
  Gate reads_, syncs_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_HELD_FILE_SYSTEM_H_
