// RocksDB's statuses as ours.
//
// What: RESOURCE_EXHAUSTED for a full disk, DATA_LOSS for what does not pass its checksum,
//   UNAVAILABLE for every other failure. The message names the folder.
// Thread safety: pure. Ownership: none. Preconditions: none.
#ifndef EIDETIC_MEMORY_DURABLE_ROCKS_STATUS_H_
#define EIDETIC_MEMORY_DURABLE_ROCKS_STATUS_H_

#include <rocksdb/status.h>

#include <string>

#include "absl/status/status.h"

namespace eidetic::memory {

absl::Status FromRocks(const rocksdb::Status& status, const std::string& folder);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_ROCKS_STATUS_H_
