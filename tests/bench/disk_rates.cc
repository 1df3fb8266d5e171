#include "tests/bench/disk_rates.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "tests/bench/measure.h"

namespace eidetic::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPart = int64_t{1} << 20;
constexpr int64_t kMostWritten = int64_t{1} << 30;

int64_t ReadWhole(const fs::path& path, std::vector<char>* part) {
  const int fd = open(path.c_str(), O_RDONLY);
  CHECK_GE(fd, 0) << path;
  int64_t bytes = 0;
  for (ssize_t n; (n = read(fd, part->data(), part->size())) > 0;) bytes += n;
  close(fd);
  return bytes;
}

}  // namespace

void DropCaches(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const int fd = open(entry.path().c_str(), O_RDONLY);
    CHECK_GE(fd, 0) << entry.path();
    CHECK_EQ(fsync(fd), 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

DiskRates MeasureDisk(const fs::path& folder, const fs::path& scratch) {
  std::vector<char> part(kPart, 'x');
  DiskRates rates;
  DropCaches(folder);
  double begin = NowSeconds();
  for (const auto& entry : fs::directory_iterator(folder)) {
    rates.bytes += ReadWhole(entry.path(), &part);
  }
  rates.read_bytes_per_second = static_cast<double>(rates.bytes) / (NowSeconds() - begin);

  const int64_t parts = std::clamp<int64_t>(rates.bytes / kPart, 1, kMostWritten / kPart);
  begin = NowSeconds();
  const int fd = open(scratch.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  CHECK_GE(fd, 0) << scratch;
  for (int64_t i = 0; i < parts; ++i) CHECK_EQ(write(fd, part.data(), kPart), kPart) << scratch;
  CHECK_EQ(fdatasync(fd), 0);
  rates.write_bytes_per_second = static_cast<double>(parts * kPart) / (NowSeconds() - begin);
  close(fd);
  fs::remove(scratch);
  return rates;
}

int64_t WrittenBytes() {
  std::ifstream io("/proc/self/io");
  std::string name;
  int64_t value = 0;
  while (io >> name >> value) {
    if (name == "write_bytes:") return value;
  }
  return 0;
}

}  // namespace eidetic::bench
