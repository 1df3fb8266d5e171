// A regular file mapped for reading.
//
// Thread safety: immutable after Open. Ownership: owns the mapping; spans live
// as long as it does. Preconditions: none. A file that shrinks while it is
// mapped is the operator's error (SIGBUS).
#ifndef EIDETIC_ENGINE_MODEL_MAPPED_FILE_H_
#define EIDETIC_ENGINE_MODEL_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"

namespace eidetic {

class MappedFile {
 public:
  // Errors: NOT_FOUND; INVALID_ARGUMENT (not a regular file, longer than
  // `max_bytes`, not readable). Nothing is read from the file yet.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::filesystem::path& path,
                                                          int64_t max_bytes = INT64_MAX);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(mapping_), size_};
  }
  std::string_view text() const { return {static_cast<const char*>(mapping_), size_}; }

 private:
  MappedFile(void* mapping, size_t size) : mapping_(mapping), size_(size) {}

  void* mapping_;  // null when the file is empty
  size_t size_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_MAPPED_FILE_H_
