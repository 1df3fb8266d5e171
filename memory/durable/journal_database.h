// The RocksDB database under a journal: its options, its start, its recovery.
//
// What: writes batches with a sync, reads, and gets going again after storage failed. Callers'
//   keys live in a space of their own: one byte before each, so that every prefix of theirs,
//   the empty one and 0xFF bytes too, has an end, and our own records are never in their way.
// Thread safety: reads at any time. One thread writes, and not during Recover.
// Ownership: owns the database; borrows the Env.
// Preconditions: one process has the folder: a second gets UNAVAILABLE.
// Errors: as FromRocks.
#ifndef EIDETIC_MEMORY_DURABLE_JOURNAL_DATABASE_H_
#define EIDETIC_MEMORY_DURABLE_JOURNAL_DATABASE_H_

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "memory/durable/journal.h"
#include "memory/durable/journal_iterators.h"

namespace eidetic::memory {

// A caller's key as it is stored: these two, one behind the other. Borrows `key`.
std::array<rocksdb::Slice, 2> StoredParts(std::string_view key);
// The first stored key behind all that begin with the caller's `prefix`.
std::string StoredEnd(std::string_view prefix);

class JournalDatabase {
 public:
  // DATA_LOSS when records that were durable can not be read; what a crash tore is let go.
  static absl::StatusOr<std::unique_ptr<JournalDatabase>> Open(const JournalOptions& options);
  ~JournalDatabase();

  // Durable when OK.
  absl::Status Write(rocksdb::WriteBatch* batch);
  // After a failed Write: opens the database anew once the disk takes writes. Waits for running
  // scans; reads that begin meanwhile get UNAVAILABLE.
  absl::Status Recover();

  absl::Status Scan(
      std::string_view prefix, std::string_view begin,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  absl::StatusOr<std::string> Get(std::string_view key) const;

 private:
  // Shared with running reads; the last to let go closes it.
  struct Handle {
    explicit Handle(rocksdb::DB* opened) : db(opened), iterators(std::in_place, opened) {}
    ~Handle();
    std::unique_ptr<rocksdb::DB> db;
    std::optional<JournalIterators> iterators;
    const std::shared_ptr<absl::Notification> closed = std::make_shared<absl::Notification>();
  };

  explicit JournalDatabase(const JournalOptions& options);
  absl::Status OpenHandle() ABSL_LOCKS_EXCLUDED(mutex_);
  void CloseHandle() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Handle>> GetHandle() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckBeforeOpen() const;
  absl::Status WriteMarker();
  rocksdb::Status LogBytes(uint64_t* bytes) const;

  const std::string folder_;
  const rocksdb::Options options_;
  bool failed_ = false;  // the last Write did: the writing thread's, then Recover's
  mutable absl::Mutex mutex_;
  std::shared_ptr<Handle> handle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_JOURNAL_DATABASE_H_
