// What a disk itself can do, and what this process had it do.
//
// Thread safety: pure. Ownership: none. Preconditions: CHECKed; Linux.
#ifndef EIDETIC_TESTS_BENCH_DISK_RATES_H_
#define EIDETIC_TESTS_BENCH_DISK_RATES_H_

#include <cstdint>
#include <filesystem>

namespace eidetic::bench {

struct DiskRates {
  int64_t bytes = 0;                  // of the files read
  double read_bytes_per_second = 0;   // plain reads, one after the other
  double write_bytes_per_second = 0;  // as many bytes (1 GiB at most) into one file, synced
};

// The system forgets what it holds of the files of `folder`, as far as it lets itself be told.
void DropCaches(const std::filesystem::path& folder);
// Reads the files of `folder` after DropCaches; `scratch` is written, read and removed.
DiskRates MeasureDisk(const std::filesystem::path& folder, const std::filesystem::path& scratch);

// What this process had the kernel write to disks, from its beginning.
int64_t WrittenBytes();

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_DISK_RATES_H_
