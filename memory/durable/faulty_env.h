// A RocksDB Env whose disk fails, fills up, is slow, or forgets what was not synced.
//
// What: over the system's file system. It counts what changes the disk (creations, appends,
//   syncs, renames, removals); from a chosen one on all of them fail. Crash() leaves of each
//   file what was synced and, torn, a random part of the rest; files whose folder was not
//   synced may be gone, removed logs back. Nothing is really synced: it is quick.
// Thread safety: thread-safe; Crash() when no database is open.
// Ownership: owns its state; databases borrow env(). Preconditions: none.
#ifndef EIDETIC_MEMORY_DURABLE_FAULTY_ENV_H_
#define EIDETIC_MEMORY_DURABLE_FAULTY_ENV_H_

#include <rocksdb/env.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <random>

#include "absl/time/time.h"

namespace eidetic::memory {

class FaultyFiles;

enum class DiskFault { kNone, kNoSpace, kIoError };

class FaultyEnv {
 public:
  static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

  FaultyEnv();
  ~FaultyEnv();

  rocksdb::Env* env() { return env_.get(); }
  // The `skip` next changes succeed, of those after `times` fail, unless Heal comes first. A
  // failing append leaves half of its bytes, a failing sync syncs nothing. A full disk still syncs
  // and removes.
  void FailAfter(int64_t skip, DiskFault fault, int64_t times = kForever);
  void Heal();
  bool failed() const;  // something did, since FailAfter
  int64_t changes() const;
  void set_sync_time(absl::Duration time);  // also of a sync that fails
  // Files' syncs wait from now on; those that wait.
  void HoldSyncs();
  void ReleaseSyncs();
  int held_syncs() const;
  void Crash(std::mt19937_64* random);

 private:
  std::shared_ptr<FaultyFiles> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_FAULTY_ENV_H_
