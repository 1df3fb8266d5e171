#include "memory/host_arena.h"

#include <glog/logging.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

size_t PageAligned(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Large pieces lie on huge pages where the system has them: retrieval reads blocks from
// all over a session's past, and with small pages most reads would miss the TLB.
void* MapHuge(size_t bytes) {
  const size_t padded = bytes + kHugePageBytes;
  void* mapping = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return mapping;
  char* const begin = static_cast<char*>(mapping);
  const size_t skip = -reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  const size_t kept = PageAligned(bytes);
  if (skip > 0) CHECK_EQ(munmap(begin, skip), 0);
  if (padded > skip + kept) CHECK_EQ(munmap(begin + skip + kept, padded - skip - kept), 0);
  // Advice: a system without huge pages serves small ones.
  madvise(begin + skip, kept, MADV_HUGEPAGE);
  return begin + skip;
}

void* Map(size_t bytes) {
  if (bytes >= kHugePageBytes) return MapHuge(bytes);
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

}  // namespace

HostArena::~HostArena() { CHECK_EQ(bytes_in_use(), 0u) << "memory is still allocated"; }

bool HostArena::Charge(size_t bytes) {
  size_t used = bytes_in_use_.load();
  do {
    if (bytes > limit_bytes_ - used) return false;
  } while (!bytes_in_use_.compare_exchange_weak(used, used + bytes));
  return true;
}

absl::StatusOr<void*> HostArena::Allocate(size_t bytes) {
  CHECK_GT(bytes, 0u);
  if (!Charge(bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("host memory: ", bytes, " bytes wanted, ", bytes_in_use(), " of ",
                     limit_bytes_, " in use; raise the host memory limit or end sessions"));
  }
  void* address = Map(bytes);
  if (address == MAP_FAILED) {
    bytes_in_use_ -= bytes;
    return absl::ResourceExhaustedError(
        absl::StrCat("host memory: the system refused ", bytes, " bytes"));
  }
  return address;
}

void HostArena::Free(void* address, size_t bytes) {
  CHECK_EQ(munmap(address, bytes), 0);
  CHECK_GE(bytes_in_use_.fetch_sub(bytes), bytes) << "more freed than allocated";
}

void HostArena::Zero(void* address, size_t bytes) { std::memset(address, 0, bytes); }

void HostArena::Copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

}  // namespace eidetic::memory
