#include "engine/model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

absl::Status OsError(const std::filesystem::path& path, int error) {
  const std::string message = absl::StrCat(path.string(), ": ", std::strerror(error));
  return error == ENOENT || error == ENOTDIR ? absl::NotFoundError(message)
                                             : absl::InvalidArgumentError(message);
}

absl::StatusOr<size_t> RegularFileSize(int fd, const std::filesystem::path& path,
                                       int64_t max_bytes) {
  struct stat info;
  if (fstat(fd, &info) != 0) return OsError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": not a regular file"));
  }
  if (info.st_size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", info.st_size, " bytes exceed the limit of ", max_bytes));
  }
  return static_cast<size_t>(info.st_size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::filesystem::path& path,
                                                             int64_t max_bytes) {
  // O_NONBLOCK: opening a FIFO that someone left in the folder must not hang.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return OsError(path, errno);
  const absl::StatusOr<size_t> size = RegularFileSize(fd, path, max_bytes);
  void* mapping = nullptr;
  int error = 0;
  if (size.ok() && *size > 0) {
    mapping = mmap(nullptr, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    error = mapping == MAP_FAILED ? errno : 0;
  }
  close(fd);
  if (!size.ok()) return size.status();
  if (error != 0) return OsError(path, error);
  return std::unique_ptr<MappedFile>(new MappedFile(mapping, *size));
}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) munmap(mapping_, size_);
}

}  // namespace eidetic
