// Iterators over a database that can be used again for as long as nothing is written.
//
// What: a new iterator copies and sorts what the write buffer holds, which is a vector
//   (journal_options.cc). A start asks thousands of times and writes nothing meanwhile: it pays
//   for a few.
// Thread safety: thread-safe; an iterator is one thread's at a time.
// Ownership: borrows the database, which outlives this and all iterators taken.
// Preconditions: Written() is called after each write, before anyone is told of it.
#ifndef EIDETIC_MEMORY_DURABLE_JOURNAL_ITERATORS_H_
#define EIDETIC_MEMORY_DURABLE_JOURNAL_ITERATORS_H_

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace eidetic::memory {

class JournalIterators {
 public:
  explicit JournalIterators(rocksdb::DB* db) : db_(db) {}

  struct Bounded {
    std::string end;       // keys from it on are not read
    rocksdb::Slice upper;  // `end`: RocksDB looks at it at each Seek
    std::unique_ptr<rocksdb::Iterator> iterator;
    uint64_t writes = 0;  // that it was made after
  };
  // Over all that was written before. Not positioned.
  std::unique_ptr<Bounded> Take(std::string end);
  // Gives it back, for the next who asks.
  void Return(std::unique_ptr<Bounded> used);
  void Written();

 private:
  rocksdb::DB* const db_;
  absl::Mutex mutex_;
  uint64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Bounded>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_JOURNAL_ITERATORS_H_
