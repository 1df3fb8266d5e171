// The durable log: an ordered map of small records that is written before anything is
// acknowledged.
//
// What: batches of puts and deletes over RocksDB, made durable together (group commit): what was
//   submitted while one sync runs goes into the next. What the keys mean is the caller's.
//   Guarantee: when `done` gets OK, the batch and all batches before it survive a crash.
// Thread safety: thread-safe. `done` runs on the journal's thread, in order of submission; it
//   must not block and must not call Commit; it may submit.
// Ownership: owns the database and one thread; borrows the Env. Destruction commits what waits.
// Preconditions: one process has the folder; a second gets UNAVAILABLE from Open.
// Errors: RESOURCE_EXHAUSTED when the disk is full, UNAVAILABLE for other failures of storage,
//   DATA_LOSS when records do not pass their checksums. After a failed batch every later one
//   fails with the same code until one Recover() has succeeded: a gap is never acknowledged.
//   A failed batch may be found or not after a crash.
#ifndef EIDETIC_MEMORY_DURABLE_JOURNAL_H_
#define EIDETIC_MEMORY_DURABLE_JOURNAL_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace rocksdb {
class Env;
}

namespace eidetic::memory {

// Changes that become durable together or not at all, in this order.
class JournalBatch {
 public:
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  // Every key that begins with `prefix` (not empty), but for those put later in this batch.
  void DeletePrefix(std::string_view prefix);
  // Room for as many changes as `other` has.
  void ReserveFor(const JournalBatch& other) { changes_.reserve(other.changes_.size()); }
  bool empty() const { return changes_.empty(); }
  int64_t bytes() const { return bytes_; }  // of keys and values

 private:
  friend class Journal;
  enum class Kind : uint8_t { kPut, kDelete, kDeletePrefix };
  struct Header {
    uint32_t key_bytes, value_bytes;
    Kind kind;
  };
  void Add(Kind kind, std::string_view key, std::string_view value);

  // Header, key and value of one change behind those of the other: who records allocates next to
  // nothing, and the journal's thread frees next to nothing.
  std::string changes_;
  int64_t bytes_ = 0;
};

struct JournalOptions {
  std::filesystem::path folder;
  rocksdb::Env* env = nullptr;  // null: the system's
  // A fuller one is written out as a table and its log ends. Three at most: they bound the logs.
  int64_t write_buffer_bytes = int64_t{16} << 20;
};

struct JournalStats {
  int64_t commits = 0;  // syncs
  int64_t batches = 0;
  int64_t bytes = 0;          // of keys and values
  double sync_seconds = 0;    // spent in commits
  int64_t waiting_bytes = 0;  // submitted, not yet durable
};

class Journal {
 public:
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Never waits for the disk: who submits sees to it that waiting_bytes stays bounded.
  void Submit(JournalBatch batch, std::function<void(absl::Status)> done);
  // Submits, and waits until it is durable.
  absl::Status Commit(JournalBatch batch);

  // Not OK: why nothing can be made durable at present.
  absl::Status health() const;
  // Tries to write again after a failure. OK: storage works; what was not acknowledged may or
  // may not be there (read it anew).
  absl::Status Recover();

  // Everything submitted successfully so far. Keys from `begin` on that begin with `prefix`, in
  // order of bytes, until `visit` returns false. `visit` must not call Recover.
  absl::Status Scan(
      std::string_view prefix, std::string_view begin,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  // NOT_FOUND when there is none.
  absl::StatusOr<std::string> Get(std::string_view key) const;

  JournalStats stats() const;

 private:
  class Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_JOURNAL_H_
