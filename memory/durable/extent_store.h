// Extents: runs of bytes in append-only, checksummed files.
//
// What: pages, index tiles and states are written here, each as one extent: a header (magic,
//   kind, length, XXH3-64 of header and of bytes) and the bytes (extent_format.h). An extent is
//   named by file, offset and length; whoever keeps that name (a manifest) keeps the extent alive
//   by a reference. A file whose last reference went and that is no longer written is removed.
// Thread safety: thread-safe; reads run at once with writes.
// Ownership: owns the files below its folder; borrows the FileSystem.
// Preconditions: one process has the folder (the journal's lock sees to it).
// Order of a checkpoint: Append..., Sync, then publish the manifest, then AddReferences. If
//   Append or Sync fails: Release what was appended, then begin anew.
// Lost extents: when a sync fails, what was appended to that file since its last good sync may
//   be gone, and a later sync that succeeds would prove nothing. That file is not written
//   again, and Sync fails for everyone until all of those extents were released: whoever else
//   had a checkpoint under way there must hear of it too.
#ifndef EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_
#define EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "memory/durable/extent_ref.h"
#include "memory/durable/file_system.h"

namespace eidetic::memory {

struct ExtentLimits {
  int64_t max_file_bytes = int64_t{256} << 20;  // a fuller file is closed and a new one begun
  int64_t max_extent_bytes = int64_t{256} << 20;
};

class ExtentStore {
 public:
  // Takes stock of the files in `folder` (made if need be). What no manifest references is
  // removed by RemoveUnreferenced, once all references were added.
  static absl::StatusOr<std::unique_ptr<ExtentStore>> Open(FileSystem* files,
                                                           const std::filesystem::path& folder,
                                                           const ExtentLimits& limits);
  ~ExtentStore();

  // Adds one extent to the file being written. It holds a reference of the caller's until
  // Release: a file can not go while a checkpoint is under way. After an error that file is
  // closed for good and the next Append begins a new one. RESOURCE_EXHAUSTED when the device is
  // full, UNAVAILABLE when it fails, INVALID_ARGUMENT beyond max_extent_bytes.
  absl::StatusOr<ExtentRef> Append(ExtentKind kind, std::span<const std::byte> bytes);
  // Everything appended so far, and not released, survives a crash. Errors: as Append.
  absl::Status Sync();

  // Fills `to`, which has ref.bytes. DATA_LOSS, naming file and offset, when header, length,
  // kind or a checksum is not as written, or the file is missing; UNAVAILABLE when it can not be
  // read. After an error `to` is not to be used.
  absl::Status Read(const ExtentRef& ref, std::span<std::byte> to) const;
  // It will be read soon: its bytes may be fetched beforehand. What is wrong with it, Read says.
  void WillRead(const ExtentRef& ref) const;

  // References are counted per file. A reference to a file that is not there is counted too: a
  // manifest may have lost its file, which Read then says.
  void AddReference(const ExtentRef& ref);
  // Of a reference that was added or came from Append. Removes the file with its last one.
  void Release(const ExtentRef& ref);
  // At start: files that nothing references are removed. How many bytes were freed.
  int64_t RemoveUnreferenced();

  int64_t stored_bytes() const;   // of all files: this much or less
  int64_t written_bytes() const;  // since Open, headers included

 private:
  static constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  struct File {
    int64_t references = 0;
    int64_t bytes = 0;
    // Extents before this survive a crash; files of an earlier process: all.
    int64_t durable_end = kAll;
    int64_t undurable_references = 0;  // to extents from there on
  };
  using Reader = std::shared_ptr<const RandomAccessFile>;

  ExtentStore(FileSystem* files, const std::filesystem::path& folder, const ExtentLimits& limits);
  std::filesystem::path PathOf(uint64_t file) const;
  absl::Status TakeStock() ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes sure that a file is being written and has room.
  absl::Status BeginExtent(int64_t file_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_mutex_);
  absl::Status BeginFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_mutex_);
  absl::Status WriteExtent(const ExtentRef& ref, std::span<const std::byte> bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_mutex_);
  absl::Status SyncFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_mutex_);
  // It is never written again, nor synced: after a failed sync, one that succeeds means nothing.
  void CloseFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_mutex_);

  // Removes it unless it is referenced or written. How many bytes were freed.
  int64_t RemoveIfUnused(uint64_t file) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Reader> ReaderOf(uint64_t file) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ReadChecked(const ExtentRef& ref, std::span<std::byte> to) const;

  FileSystem* const files_;
  const std::filesystem::path folder_;
  const ExtentLimits limits_;

  // Held while the device writes and syncs; reads and references wait for mutex_ alone.
  absl::Mutex writing_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::unique_ptr<WritableFile> writing_ ABSL_GUARDED_BY(writing_mutex_);
  absl::Status lost_ ABSL_GUARDED_BY(writing_mutex_);  // why the last sync that failed did

  mutable absl::Mutex mutex_;
  std::map<uint64_t, File> known_ ABSL_GUARDED_BY(mutex_);
  mutable std::map<uint64_t, Reader> readers_ ABSL_GUARDED_BY(mutex_);  // those open
  uint64_t writing_file_ ABSL_GUARDED_BY(mutex_) = 0;                   // 0: none
  uint64_t next_file_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t written_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_
