// What the journal's tests share.
//
// Thread safety: none. Ownership: a TestFolder removes its files. Preconditions: a gtest runs.
#ifndef EIDETIC_MEMORY_DURABLE_JOURNAL_TESTING_H_
#define EIDETIC_MEMORY_DURABLE_JOURNAL_TESTING_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "memory/durable/journal.h"

namespace eidetic::memory {

class TestFolder {
 public:
  explicit TestFolder(const std::string& name)
      : path_(std::filesystem::path(testing::TempDir()) / name) {
    std::filesystem::remove_all(path_);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

inline JournalBatch PutBatch(std::string_view key, std::string_view value) {
  JournalBatch batch;
  batch.Put(key, value);
  return batch;
}

using Records = std::map<std::string, std::string>;

inline absl::StatusOr<Records> ReadRecords(const Journal& journal, std::string_view prefix = "",
                                           std::string_view begin = "") {
  Records records;
  const absl::Status status =
      journal.Scan(prefix, begin, [&](std::string_view key, std::string_view value) {
        records.emplace(key, value);
        return true;
      });
  if (!status.ok()) return status;
  return records;
}

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_JOURNAL_TESTING_H_
