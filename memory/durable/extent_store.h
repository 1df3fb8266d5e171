// Extents: runs of bytes in append-only, checksummed files.
//
// What: pages, index tiles and states are written here, each as one extent: a header (magic,
//   kind, length, XXH3-64 of header and of bytes) and the bytes. An extent is named by file,
//   offset and length; whoever keeps that name (a manifest) keeps the extent alive by a
//   reference. A file whose last reference went and that is no longer written is removed.
// Thread safety: thread-safe; reads run at once with writes.
// Ownership: owns the files below its folder; borrows the FileSystem.
// Preconditions: one process has the folder (the journal's lock sees to it).
// Order of a checkpoint: Append..., Sync, then publish the manifest, then AddReferences.
#ifndef EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_
#define EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "memory/durable/file_system.h"

namespace eidetic::memory {

enum class ExtentKind : uint8_t { kPage = 1, kTile = 2, kState = 3 };

struct ExtentRef {
  uint64_t file = 0;
  int64_t offset = 0;  // of the header
  int64_t bytes = 0;   // of the content
  ExtentKind kind = ExtentKind::kPage;
  uint64_t checksum = 0;  // XXH3-64 of the content: a manifest binds the very bytes
  friend bool operator==(const ExtentRef&, const ExtentRef&) = default;
};

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
  // closed for good and the next Append begins a new one.
  absl::StatusOr<ExtentRef> Append(ExtentKind kind, std::span<const std::byte> bytes);
  // Everything appended so far survives a crash.
  absl::Status Sync();

  // Fills `to`, which has ref.bytes. DATA_LOSS, naming file and offset, when header, length,
  // kind or a checksum is not as written: `to` is then not to be used.
  absl::Status Read(const ExtentRef& ref, std::span<std::byte> to) const;

  // References are counted per file.
  void AddReference(const ExtentRef& ref);
  void Release(const ExtentRef& ref);
  // At start: files that nothing references are removed. How many bytes were freed.
  int64_t RemoveUnreferenced();

  int64_t stored_bytes() const;   // of all files
  int64_t written_bytes() const;  // since Open, headers included

 private:
  struct File {
    int64_t references = 0;
    int64_t bytes = 0;
    std::shared_ptr<const RandomAccessFile> reader;
  };

  ExtentStore(FileSystem* files, const std::filesystem::path& folder, const ExtentLimits& limits);
  std::filesystem::path PathOf(uint64_t file) const;

  FileSystem* const files_;
  const std::filesystem::path folder_;
  const ExtentLimits limits_;
  mutable absl::Mutex mutex_;
  mutable std::map<uint64_t, File> known_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<WritableFile> writing_ ABSL_GUARDED_BY(mutex_);
  uint64_t writing_file_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_file_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t written_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_EXTENT_STORE_H_
