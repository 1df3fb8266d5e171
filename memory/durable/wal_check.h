// Whether RocksDB's write-ahead logs hold more than its recovery gives back.
//
// What: recovery to a point in time stops at the first record that does not pass its checksum.
//   For the tail that a crash tore that is right. But the journal syncs each write before it
//   begins the next, and batches are numbered without gaps: a batch behind a gap proves that
//   what is missing was durable. So it is refused.
//   Limit: damage to the very last batch can not be told from a torn tail.
// Thread safety: none needed. Ownership: borrows the Env.
// Preconditions: nobody writes to the folder.
// Format read: blocks of 32 KiB of physical records, each masked crc32c (4 bytes), length (2),
//   type (1), bytes; a batch begins with its sequence number (8 bytes, little-endian).
#ifndef EIDETIC_MEMORY_DURABLE_WAL_CHECK_H_
#define EIDETIC_MEMORY_DURABLE_WAL_CHECK_H_

#include <rocksdb/env.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace eidetic::memory {

// `stored`: the last sequence number that the tables' manifest knows; `recovered`: the last one
// that recovery gives. DATA_LOSS when the whole batches in the folder's logs do not follow on
// `stored` without a gap, or go on behind `recovered`.
absl::Status CheckNothingLost(rocksdb::Env* env, const std::string& folder, uint64_t stored,
                              uint64_t recovered);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_WAL_CHECK_H_
