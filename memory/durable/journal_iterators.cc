#include "memory/durable/journal_iterators.h"

#include <utility>

namespace eidetic::memory {

std::unique_ptr<JournalIterators::Bounded> JournalIterators::Take(std::string end) {
  std::unique_ptr<Bounded> taken;
  uint64_t writes = 0;
  {
    absl::MutexLock lock(&mutex_);
    writes = writes_;
    if (!idle_.empty()) {
      taken = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  const bool fresh = taken == nullptr;
  if (fresh) taken = std::make_unique<Bounded>();
  taken->end = std::move(end);
  taken->upper = taken->end;
  if (!fresh) return taken;
  // A write that ends meanwhile may be missing: Return finds it old then.
  taken->writes = writes;
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &taken->upper;
  options.fill_cache = false;
  taken->iterator.reset(db_->NewIterator(options));
  return taken;
}

void JournalIterators::Return(std::unique_ptr<Bounded> used) {
  // One that met an error would tell of it again.
  if (!used->iterator->status().ok()) return;
  absl::MutexLock lock(&mutex_);
  if (used->writes == writes_) idle_.push_back(std::move(used));
}

void JournalIterators::Written() {
  std::vector<std::unique_ptr<Bounded>> old;  // goes after the lock
  absl::MutexLock lock(&mutex_);
  ++writes_;
  old.swap(idle_);
}

}  // namespace eidetic::memory
