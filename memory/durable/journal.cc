#include "memory/durable/journal.h"

#include <rocksdb/write_batch.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "glog/logging.h"
#include "memory/durable/fail_point.h"
#include "memory/durable/journal_database.h"

namespace eidetic::memory {

void JournalBatch::Add(Kind kind, std::string_view key, std::string_view value) {
  constexpr size_t kMostBytes = std::numeric_limits<uint32_t>::max();
  CHECK(key.size() <= kMostBytes && value.size() <= kMostBytes) << "a record of 4 GiB";
  const Header header{static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size()), kind};
  changes_.append(reinterpret_cast<const char*>(&header), sizeof(header));
  changes_.append(key).append(value);
  bytes_ += static_cast<int64_t>(key.size() + value.size());
}

void JournalBatch::Put(std::string_view key, std::string_view value) {
  Add(Kind::kPut, key, value);
}

void JournalBatch::Delete(std::string_view key) { Add(Kind::kDelete, key, {}); }

void JournalBatch::DeletePrefix(std::string_view prefix) {
  CHECK(!prefix.empty()) << "an empty prefix would delete everything";
  Add(Kind::kDeletePrefix, prefix, {});
}

class Journal::Impl {
 public:
  explicit Impl(std::unique_ptr<JournalDatabase> database)
      : database_(std::move(database)), thread_([this] { Run(); }) {}

  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }

  void Submit(JournalBatch batch, std::function<void(absl::Status)> done) {
    absl::MutexLock lock(&mutex_);
    stats_.waiting_bytes += batch.bytes();
    waiting_.push_back({std::move(batch), std::move(done), failed_});
  }

  absl::Status health() const {
    absl::MutexLock lock(&mutex_);
    return failed_;
  }

  absl::Status Recover() {
    absl::MutexLock one_at_a_time(&recover_mutex_);
    if (health().ok()) return absl::OkStatus();
    // Nothing is written meanwhile: all that waits has been marked as failed.
    const absl::Status status = database_->Recover();
    absl::MutexLock lock(&mutex_);
    if (status.ok()) failed_ = absl::OkStatus();
    return status;
  }

  JournalStats stats() const {
    absl::MutexLock lock(&mutex_);
    return stats_;
  }

  bool OnJournalThread() const { return std::this_thread::get_id() == thread_.get_id(); }
  const JournalDatabase& database() const { return *database_; }

 private:
  struct Waiting {
    JournalBatch batch;
    std::function<void(absl::Status)> done;
    absl::Status failed;  // stays, also when Recover succeeds first: a batch before it is missing
  };

  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !waiting_.empty() || stopping_;
  }

  void Run() {
    while (true) {
      const std::vector<Waiting> group = Take();
      if (group.empty()) return;
      const absl::Status status = CommitGroup(group);
      for (const Waiting& one : group) one.done(one.failed.ok() ? status : one.failed);
    }
  }

  std::vector<Waiting> Take() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Impl::HasWork));
    return std::exchange(waiting_, {});
  }

  static void Add(const JournalBatch& batch, rocksdb::WriteBatch* to);
  absl::Status CommitGroup(const std::vector<Waiting>& group);

  const std::unique_ptr<JournalDatabase> database_;
  absl::Mutex recover_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable absl::Mutex mutex_;
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  JournalStats stats_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

void Journal::Impl::Add(const JournalBatch& batch, rocksdb::WriteBatch* to) {
  for (std::string_view rest = batch.changes_; !rest.empty();) {
    JournalBatch::Header header;
    std::memcpy(&header, rest.data(), sizeof(header));
    const std::string_view key = rest.substr(sizeof(header), header.key_bytes);
    const rocksdb::Slice value(key.data() + key.size(), header.value_bytes);
    rest.remove_prefix(sizeof(header) + header.key_bytes + header.value_bytes);
    const auto parts = StoredParts(key);
    const rocksdb::SliceParts stored(parts.data(), static_cast<int>(parts.size()));
    rocksdb::Status status;
    switch (header.kind) {
      case JournalBatch::Kind::kPut:
        status = to->Put(stored, rocksdb::SliceParts(&value, 1));
        break;
      case JournalBatch::Kind::kDelete:
        status = to->Delete(stored);
        break;
      case JournalBatch::Kind::kDeletePrefix: {
        const std::string end = StoredEnd(key);
        const rocksdb::Slice behind(end);
        status = to->DeleteRange(stored, rocksdb::SliceParts(&behind, 1));
        break;
      }
    }
    CHECK(status.ok()) << status.ToString();  // only a key or value of 4 GiB is refused
  }
}

absl::Status Journal::Impl::CommitGroup(const std::vector<Waiting>& group) {
  rocksdb::WriteBatch changes;
  int64_t bytes = 0, taken_bytes = 0, batches = 0;
  for (const Waiting& one : group) {
    taken_bytes += one.batch.bytes();
    if (!one.failed.ok()) continue;
    Add(one.batch, &changes);
    bytes += one.batch.bytes();
    ++batches;
  }
  const bool writes = changes.Count() > 0;  // all before is durable already
  const auto begin = std::chrono::steady_clock::now();
  if (writes) FailPoint("journal.before_write");
  const absl::Status status = writes ? database_->Write(&changes) : absl::OkStatus();
  if (writes) FailPoint("journal.after_write");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  absl::MutexLock lock(&mutex_);
  stats_.waiting_bytes -= taken_bytes;
  if (!status.ok()) {
    failed_ = status;
    for (Waiting& one : waiting_) one.failed = status;
    return status;
  }
  stats_.commits += writes;
  stats_.batches += batches;
  stats_.bytes += bytes;
  if (writes) stats_.sync_seconds += took.count();
  return status;
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options) {
  auto database = JournalDatabase::Open(options);
  if (!database.ok()) return database.status();
  return std::unique_ptr<Journal>(new Journal(std::make_unique<Impl>(*std::move(database))));
}

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

void Journal::Submit(JournalBatch batch, std::function<void(absl::Status)> done) {
  impl_->Submit(std::move(batch), std::move(done));
}

absl::Status Journal::Commit(JournalBatch batch) {
  CHECK(!impl_->OnJournalThread()) << "Commit from a `done` would wait for itself";
  absl::Status result;
  absl::Notification durable;
  Submit(std::move(batch), [&](absl::Status status) {
    result = std::move(status);
    durable.Notify();
  });
  durable.WaitForNotification();
  return result;
}

absl::Status Journal::health() const { return impl_->health(); }
absl::Status Journal::Recover() { return impl_->Recover(); }
JournalStats Journal::stats() const { return impl_->stats(); }

absl::Status Journal::Scan(
    std::string_view prefix, std::string_view begin,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  return impl_->database().Scan(prefix, begin, visit);
}

absl::StatusOr<std::string> Journal::Get(std::string_view key) const {
  return impl_->database().Get(key);
}

}  // namespace eidetic::memory
