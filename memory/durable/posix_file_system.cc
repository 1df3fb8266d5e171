#include <fcntl.h>
#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/durable/file_system.h"

namespace eidetic::memory {
namespace {

namespace fs = std::filesystem;

// What people said to the model is for the server's own account alone.
constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

// Calls again while a signal cut the call short.
template <typename Call>
auto Uninterrupted(const Call& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  Descriptor(int number, fs::path path) : number_(number), path_(std::move(path)) {}
  Descriptor(Descriptor&& other) noexcept
      : number_(std::exchange(other.number_, -1)), path_(std::move(other.path_)) {}
  // What close says is not looked at: what must survive was synced before.
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }
  absl::Status Error(std::string_view doing) const { return FileError(errno, doing, path_); }
  const fs::path& path() const { return path_; }

 private:
  int number_;
  fs::path path_;
};

absl::StatusOr<Descriptor> OpenDescriptor(const fs::path& path, int flags) {
  const int number =
      Uninterrupted([&] { return open(path.c_str(), flags | O_CLOEXEC, kFileMode); });
  if (number < 0) return FileError(errno, flags & O_CREAT ? "create" : "open", path);
  return Descriptor(number, path);
}

class PosixWritableFile : public WritableFile {
 public:
  explicit PosixWritableFile(Descriptor file) : file_(std::move(file)) {}

  absl::Status Append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t count =
          Uninterrupted([&] { return write(file_.number(), bytes.data(), bytes.size()); });
      if (count < 0) return file_.Error("write");
      if (count == 0) return FileError(EIO, "write", file_.path());  // it would never end
      bytes = bytes.subspan(count);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (Uninterrupted([&] { return fdatasync(file_.number()); }) < 0) return file_.Error("sync");
    return absl::OkStatus();
  }

 private:
  Descriptor file_;
};

class PosixRandomAccessFile : public RandomAccessFile {
 public:
  explicit PosixRandomAccessFile(Descriptor file) : file_(std::move(file)) {}

  absl::Status Read(int64_t offset, std::span<std::byte> to) const override {
    while (!to.empty()) {
      const ssize_t count =
          Uninterrupted([&] { return pread(file_.number(), to.data(), to.size(), offset); });
      if (count < 0) return file_.Error("read");
      if (count == 0) {
        return absl::DataLossError(
            absl::StrCat(file_.path().string(), " ends before byte ", offset + to.size()));
      }
      to = to.subspan(count);
      offset += count;
    }
    return absl::OkStatus();
  }

  void WillRead(int64_t offset, int64_t bytes) const override {
    posix_fadvise(file_.number(), offset, bytes, POSIX_FADV_WILLNEED);
  }

  absl::StatusOr<int64_t> Size() const override {
    struct stat facts;
    if (fstat(file_.number(), &facts) < 0) return file_.Error("stat");
    return facts.st_size;
  }

 private:
  Descriptor file_;
};

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const fs::path& path) override {
    auto file = OpenDescriptor(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
    if (!file.ok()) return file.status();
    return std::make_unique<PosixWritableFile>(*std::move(file));
  }

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(const fs::path& path) override {
    auto file = OpenDescriptor(path, O_RDONLY);
    if (!file.ok()) return file.status();
    return std::make_unique<PosixRandomAccessFile>(*std::move(file));
  }

  absl::Status MakeFolder(const fs::path& path) override {
    if (mkdir(path.c_str(), kFolderMode) == 0) return absl::OkStatus();
    const int error = errno;
    std::error_code ignored;
    if (error == EEXIST && fs::is_directory(path, ignored)) return absl::OkStatus();
    return FileError(error, "make folder", path);
  }

  absl::StatusOr<std::vector<std::string>> List(const fs::path& folder) override {
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator entry(folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      if (entry->is_regular_file(error)) names.push_back(entry->path().filename().string());
      if (error) break;
    }
    if (error) return FileError(error.value(), "list", folder);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status Remove(const fs::path& path) override {
    if (unlink(path.c_str()) < 0) return FileError(errno, "remove", path);
    return absl::OkStatus();
  }

  absl::Status SyncFolder(const fs::path& folder) override {
    auto opened = OpenDescriptor(folder, O_RDONLY | O_DIRECTORY);
    if (!opened.ok()) return opened.status();
    if (Uninterrupted([&] { return fsync(opened->number()); }) < 0) {
      return opened->Error("sync folder");
    }
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status FileError(int error, std::string_view doing, const fs::path& path) {
  const std::string message =
      absl::StrCat("can not ", std::string(doing), " ", path.string(), ": ",
                   std::generic_category().message(error), " (errno ", error, ")");
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(absl::StrCat(message, "; free space on this device"));
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    default:
      return absl::UnavailableError(message);
  }
}

FileSystem* FileSystem::Posix() {
  static FileSystem* const system = new PosixFileSystem;
  return system;
}

}  // namespace eidetic::memory
