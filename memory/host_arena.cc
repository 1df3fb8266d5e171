#include "memory/host_arena.h"

#include <glog/logging.h>
#include <sys/mman.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {

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
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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
