#include "memory/durable/journal_database.h"

#include <rocksdb/wal_filter.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "memory/durable/journal_options.h"
#include "memory/durable/rocks_status.h"
#include "memory/durable/wal_check.h"

namespace eidetic::memory {
namespace {

constexpr char kCallersSpace = 'k';
// In a space before the callers': no key of theirs, and no prefix, reaches it.
constexpr char kMarker[] = "j/marker";
constexpr char kTrial[] = "trial.tmp";
constexpr size_t kTrialChunkBytes = 1 << 20;

std::string StoredKey(std::string_view key) {
  std::string stored(1, kCallersSpace);
  return stored.append(key);
}

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// The folder's lock, held for as long as this lives.
class FolderLock {
 public:
  FolderLock(rocksdb::Env* env, const std::string& folder) : env_(env) {
    status_ = env->LockFile(folder + "/LOCK", &lock_);
  }
  ~FolderLock() {
    if (lock_ != nullptr) env_->UnlockFile(lock_).PermitUncheckedError();
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  const rocksdb::Status& status() const { return status_; }

 private:
  rocksdb::Env* const env_;
  rocksdb::FileLock* lock_ = nullptr;
  rocksdb::Status status_;
};

// Lets a start see the tables alone.
class IgnoreLogs : public rocksdb::WalFilter {
 public:
  WalProcessingOption LogRecord(const rocksdb::WriteBatch&, rocksdb::WriteBatch*,
                                bool*) const override {
    return WalProcessingOption::kIgnoreCurrentRecord;
  }
  const char* Name() const override { return "IgnoreLogs"; }
};

// The last sequence number after a start that changes nothing.
absl::StatusOr<uint64_t> LastSequence(const rocksdb::Options& options, const std::string& folder) {
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, folder, &opened);
  if (status.IsNotFound() || status.IsPathNotFound()) {
    return absl::DataLossError(absl::StrCat("journal in ", folder, ": a file is missing: ",
                                            status.ToString(), ". Restore the folder from a copy"));
  }
  if (!status.ok()) return FromRocks(status, folder);
  const std::unique_ptr<rocksdb::DB> db(opened);
  return db->GetLatestSequenceNumber();
}

// That the disk takes `bytes` more, and syncs them: tried, since free space counts no quota.
rocksdb::Status TryDisk(rocksdb::Env* env, const std::string& folder, uint64_t bytes) {
  const std::string path = folder + "/" + kTrial;
  const std::string chunk(kTrialChunkBytes, 'x');
  std::unique_ptr<rocksdb::WritableFile> file;
  rocksdb::Status status = env->NewWritableFile(path, &file, rocksdb::EnvOptions());
  for (uint64_t done = 0; status.ok() && done < bytes; done += chunk.size()) {
    status = file->Append(chunk);
  }
  if (status.ok()) status = file->Sync();
  if (file != nullptr) file->Close().PermitUncheckedError();
  file.reset();
  env->DeleteFile(path).PermitUncheckedError();
  return status;
}

}  // namespace

std::array<rocksdb::Slice, 2> StoredParts(std::string_view key) {
  return {rocksdb::Slice(&kCallersSpace, 1), ToSlice(key)};
}

std::string StoredEnd(std::string_view prefix) {
  std::string end = StoredKey(prefix);
  while (end.back() == '\xff') end.pop_back();  // the space's own byte is none
  ++end.back();
  return end;
}

JournalDatabase::Handle::~Handle() {
  iterators.reset();
  db.reset();
  closed->Notify();
}

JournalDatabase::JournalDatabase(const JournalOptions& options)
    : folder_(options.folder.string()), options_(DatabaseOptions(options)) {}

absl::StatusOr<std::unique_ptr<JournalDatabase>> JournalDatabase::Open(
    const JournalOptions& options) {
  std::unique_ptr<JournalDatabase> database(new JournalDatabase(options));
  const absl::Status status = database->OpenHandle();
  if (!status.ok()) return status;
  return database;
}

JournalDatabase::~JournalDatabase() {
  const auto handle = GetHandle();
  // A failed database is not to be touched again, and has everything in its log.
  if (!handle.ok() || failed_) return;
  // The next start is quicker, and no tail is in doubt.
  if ((*handle)->db->Flush(rocksdb::FlushOptions()).ok()) WriteMarker().IgnoreError();
}

// Read-only starts tell where recovery would stop, while everything is still in place.
absl::Status JournalDatabase::CheckBeforeOpen() const {
  rocksdb::Env* const env = options_.env;
  std::vector<std::string> names;
  rocksdb::Status status = env->GetChildren(folder_, &names);
  if (!status.ok()) return FromRocks(status, folder_);
  if (std::find(names.begin(), names.end(), "CURRENT") == names.end()) {
    // RocksDB would begin an empty database and remove what it does not know.
    const bool used = std::any_of(names.begin(), names.end(), [](const std::string& name) {
      return absl::EndsWith(name, ".log") || absl::EndsWith(name, ".sst");
    });
    if (!used) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat("journal in ", folder_,
                     ": there are records but no file CURRENT. Restore the folder from a copy"));
  }
  IgnoreLogs ignore_logs;
  rocksdb::Options tables_alone = options_;
  tables_alone.wal_filter = &ignore_logs;
  const auto stored = LastSequence(tables_alone, folder_);
  if (!stored.ok()) return stored.status();
  const auto recovered = LastSequence(options_, folder_);
  if (!recovered.ok()) return recovered.status();
  return CheckNothingLost(env, folder_, *stored, *recovered);
}

absl::Status JournalDatabase::OpenHandle() {
  const rocksdb::Status made = options_.env->CreateDirIfMissing(folder_);
  if (!made.ok()) return FromRocks(made, folder_);
  {
    const FolderLock lock(options_.env, folder_);
    if (!lock.status().ok()) {
      return absl::UnavailableError(absl::StrCat(
          "journal in ", folder_, ": can not lock the folder. Is another server using it? ",
          lock.status().ToString()));
    }
    const absl::Status checked = CheckBeforeOpen();
    if (!checked.ok()) return checked;
  }
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options_, folder_, &opened);
  if (!status.ok()) return FromRocks(status, folder_);
  auto handle = std::make_shared<Handle>(opened);
  {
    absl::MutexLock lock(&mutex_);
    handle_ = std::move(handle);
  }
  failed_ = false;
  return WriteMarker();
}

// Nobody misses it when it is damaged, and behind the tables' records in the log it tells at
// the next start that they must be there: a manifest that lost its end names fewer.
absl::Status JournalDatabase::WriteMarker() {
  rocksdb::WriteBatch marker;
  const rocksdb::Status status = marker.Put(kMarker, "");
  CHECK(status.ok()) << status.ToString();
  return Write(&marker);
}

void JournalDatabase::CloseHandle() {
  std::shared_ptr<Handle> handle;
  {
    absl::MutexLock lock(&mutex_);
    handle = std::exchange(handle_, nullptr);
  }
  if (handle == nullptr) return;
  const std::shared_ptr<absl::Notification> closed = handle->closed;
  handle.reset();
  closed->WaitForNotification();
}

absl::StatusOr<std::shared_ptr<JournalDatabase::Handle>> JournalDatabase::GetHandle() const {
  absl::MutexLock lock(&mutex_);
  if (handle_ != nullptr) return handle_;
  return absl::UnavailableError(
      absl::StrCat("journal in ", folder_, ": storage failed and has not recovered"));
}

absl::Status JournalDatabase::Write(rocksdb::WriteBatch* batch) {
  const auto handle = GetHandle();
  if (!handle.ok()) return handle.status();
  rocksdb::WriteOptions durable;
  durable.sync = true;
  const rocksdb::Status status = (*handle)->db->Write(durable, batch);
  (*handle)->iterators->Written();
  failed_ = !status.ok();
  return FromRocks(status, folder_);
}

// A new start, not DB::Resume: that refuses after EIO; it lets a log that ends in half a record
// be written on when nothing waits for a flush; and where RocksDB is built with its assertions
// (Debian's is) a second try to end a write buffer that holds deleted ranges ends the process.
absl::Status JournalDatabase::Recover() {
  // While the disk can not hold what a start writes, reads go on with the old handle.
  uint64_t bytes = 0;
  rocksdb::Status status = LogBytes(&bytes);
  if (status.ok()) status = TryDisk(options_.env, folder_, bytes + kTrialChunkBytes);
  if (!status.ok()) return FromRocks(status, folder_);
  CloseHandle();
  return OpenHandle();
}

rocksdb::Status JournalDatabase::LogBytes(uint64_t* bytes) const {
  std::vector<std::string> names;
  rocksdb::Status status = options_.env->GetChildren(folder_, &names);
  for (const std::string& name : names) {
    uint64_t size = 0;
    if (!absl::EndsWith(name, ".log")) continue;
    if (!status.ok()) break;
    status = options_.env->GetFileSize(folder_ + "/" + name, &size);
    // The old handle still deletes logs that it no longer needs.
    if (status.IsPathNotFound() || status.IsNotFound()) status = rocksdb::Status::OK();
    *bytes += size;
  }
  return status;
}

absl::Status JournalDatabase::Scan(
    std::string_view prefix, std::string_view begin,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  const auto handle = GetHandle();
  if (!handle.ok()) return handle.status();
  auto bounded = (*handle)->iterators->Take(StoredEnd(prefix));
  rocksdb::Iterator& found = *bounded->iterator;
  for (found.Seek(StoredKey(std::max(prefix, begin))); found.Valid(); found.Next()) {
    if (!visit(ToView(found.key()).substr(1), ToView(found.value()))) break;
  }
  const absl::Status status = FromRocks(found.status(), folder_);
  (*handle)->iterators->Return(std::move(bounded));
  return status;
}

absl::StatusOr<std::string> JournalDatabase::Get(std::string_view key) const {
  std::optional<std::string> value;
  const absl::Status status = Scan(key, key, [&](std::string_view found, std::string_view bytes) {
    if (found == key) value = std::string(bytes);
    return false;
  });
  if (!status.ok()) return status;
  if (!value) return absl::NotFoundError("no such record");
  return *std::move(value);
}

}  // namespace eidetic::memory
