#include "memory/durable/journal_options.h"

#include <glog/logging.h>
#include <rocksdb/listener.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/table.h>

#include <cstdarg>
#include <cstdio>
#include <memory>

namespace eidetic::memory {
namespace {

constexpr int kWriteBuffers = 3;
constexpr size_t kTableBlockBytes = 16 << 10;
constexpr size_t kMostLoggedBytes = 512;  // of a line
constexpr uint64_t kMaxManifestBytes = 16 << 20;

// Where writes stopped, RocksDB's own recovery would race with Journal::Recover and take writes
// again before anyone was told that one failed. A compaction that found no space may try again.
class NoAutomaticRecovery : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status error,
                            bool* automatic) override {
    if (error.severity() >= rocksdb::Status::kHardError) *automatic = false;
  }
};

// RocksDB's warnings go to the server's own log. A log file of its own would lie on the journal's
// disk: when that is full, RocksDB built with its assertions (Debian's is) ends the process at the
// second line that it can not write.
class ServersLog : public rocksdb::Logger {
 public:
  ServersLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list values) override {
    char line[kMostLoggedBytes];
    std::vsnprintf(line, sizeof(line), format, values);
    LOG(WARNING) << "journal: RocksDB says: " << line;
  }
  // Every option, at each start.
  void LogHeader(const char*, va_list) override {}
};

// Whole prefixes are scanned, single keys hardly ever read: larger blocks, no Bloom filters.
rocksdb::BlockBasedTableOptions TableOptions() {
  rocksdb::BlockBasedTableOptions table;
  table.block_size = kTableBlockBytes;
  return table;
}

void BoundWhatIsLogged(rocksdb::Options* options) {
  options->info_log = std::make_shared<ServersLog>();
  options->info_log_level = rocksdb::WARN_LEVEL;
  options->stats_dump_period_sec = 0;
  options->stats_persist_period_sec = 0;
  options->max_manifest_file_size = kMaxManifestBytes;
}

}  // namespace

rocksdb::Options DatabaseOptions(const JournalOptions& options) {
  rocksdb::Options database;
  if (options.env != nullptr) database.env = options.env;
  database.create_if_missing = true;
  database.paranoid_checks = true;
  database.max_bgerror_resume_count = 0;
  database.listeners = {std::make_shared<NoAutomaticRecovery>()};
  // A write-ahead log is as long as its write buffer and ends with it: that bounds the logs
  // (max_total_wal_size has no say with one column family), and so the time of a start.
  database.write_buffer_size = options.write_buffer_bytes;
  database.max_write_buffer_number = kWriteBuffers;
  // Sorted when it is written out, or read (journal_iterators.h). A skip list's search for each
  // record's place was two thirds of what a commit of many streams' tokens took.
  database.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
  database.allow_concurrent_memtable_write = false;  // a vector can not; one thread writes
  // A crash may leave the last write torn in any way, also at its right length: a mode that
  // tolerates a cut tail alone would refuse to start. This one also stops at damage further in,
  // silently; CheckNothingLost refuses that before the database is opened.
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  database.track_and_verify_wals_in_manifest = true;
  // Old bytes behind a log's end could pass for records.
  database.recycle_log_file_num = 0;
  database.compression = rocksdb::kLZ4Compression;
  database.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions()));
  BoundWhatIsLogged(&database);
  return database;
}

}  // namespace eidetic::memory
