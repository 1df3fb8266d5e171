// Which files live: references, closing, removal.
#include <glog/logging.h>

#include <utility>
#include <vector>

#include "memory/durable/extent_store.h"

namespace eidetic::memory {

void ExtentStore::CloseFile() {
  writing_.reset();
  uint64_t closed = 0;
  {
    absl::MutexLock lock(&mutex_);
    closed = std::exchange(writing_file_, 0);
  }
  RemoveIfUnused(closed);
}

void ExtentStore::AddReference(const ExtentRef& ref) {
  absl::MutexLock lock(&mutex_);
  File& file = known_[ref.file];
  ++file.references;
  if (ref.offset >= file.durable_end) ++file.undurable_references;
}

void ExtentStore::Release(const ExtentRef& ref) {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = known_.find(ref.file);
    CHECK(found != known_.end() && found->second.references > 0)
        << "released more often than referenced: extent file " << ref.file;
    File& file = found->second;
    if (ref.offset >= file.durable_end) --file.undurable_references;
    if (--file.references > 0) return;
  }
  RemoveIfUnused(ref.file);
}

int64_t ExtentStore::RemoveUnreferenced() {
  std::vector<uint64_t> numbers;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [number, file] : known_) numbers.push_back(number);
  }
  int64_t freed = 0;
  for (uint64_t number : numbers) freed += RemoveIfUnused(number);
  return freed;
}

int64_t ExtentStore::RemoveIfUnused(uint64_t number) {
  int64_t bytes = 0;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = known_.find(number);
    if (found == known_.end() || found->second.references > 0 || number == writing_file_) return 0;
    // Forgotten first: of two threads that see it unused, one removes it.
    bytes = found->second.bytes;
    known_.erase(found);
    readers_.erase(number);
  }
  const absl::Status removed = files_->Remove(PathOf(number));
  if (removed.ok()) return bytes;
  if (absl::IsNotFound(removed)) return 0;
  LOG(WARNING) << "kept until the next start: " << removed;
  absl::MutexLock lock(&mutex_);
  known_[number].bytes += bytes;
  return 0;
}

}  // namespace eidetic::memory
