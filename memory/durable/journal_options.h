// How the journal uses RocksDB.
//
// Thread safety: pure. Ownership: the options borrow the Env. Preconditions: none.
#ifndef EIDETIC_MEMORY_DURABLE_JOURNAL_OPTIONS_H_
#define EIDETIC_MEMORY_DURABLE_JOURNAL_OPTIONS_H_

#include <rocksdb/options.h>

#include "memory/durable/journal.h"

namespace eidetic::memory {

rocksdb::Options DatabaseOptions(const JournalOptions& options);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_JOURNAL_OPTIONS_H_
