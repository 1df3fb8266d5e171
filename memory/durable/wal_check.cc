#include "memory/durable/wal_check.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "memory/durable/rocks_status.h"

namespace eidetic::memory {
namespace {

constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kBatchHeaderBytes = 12;  // sequence number, count
constexpr uint8_t kFullType = 1, kFirstType = 2, kLastType = 4;

constexpr std::array<uint32_t, 256> Crc32cTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t MaskedCrc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = Crc32cTable();
  uint32_t crc = ~0u;
  for (const char byte : bytes)
    crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

uint64_t LittleEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// The physical record at the start of `rest`, header included; nullopt when none is whole there.
std::optional<std::string_view> WholeRecord(std::string_view rest) {
  if (rest.size() < kHeaderBytes) return std::nullopt;
  const uint8_t type = rest[6];
  const size_t bytes = kHeaderBytes + LittleEndian(rest.substr(4, 2));
  if (type < kFullType || type > kLastType || bytes > rest.size()) return std::nullopt;
  if (LittleEndian(rest.substr(0, 4)) != MaskedCrc32c(rest.substr(6, bytes - 6))) {
    return std::nullopt;
  }
  return rest.substr(0, bytes);
}

// Walks the logs' batches in the order of their writing.
class BatchWalk {
 public:
  explicit BatchWalk(uint64_t stored) : end_(stored + 1) {}

  // The next block of a log. False: a batch is missing before the one at gap_offset(). Behind a
  // damaged record the next may begin at any byte: a damaged length is not to be trusted.
  bool Block(std::string_view block) {
    for (size_t at = 0; at < block.size();) {
      const std::optional<std::string_view> record = WholeRecord(block.substr(at));
      if (!record) {
        // Less than a header is a block's padding; a batch may go on in the next.
        if (block.size() - at >= kHeaderBytes) in_batch_ = false;
        ++at;
        continue;
      }
      if (!Record(*record)) {
        gap_offset_ = at;
        return false;
      }
      at += record->size();
    }
    return true;
  }

  // A batch does not go on in another log.
  void NextLog() { in_batch_ = false; }
  size_t gap_offset() const { return gap_offset_; }  // in the block
  uint64_t last() const { return end_ - 1; }

 private:
  // A batch's header may itself be split: where a block ends soon, the first fragment is short.
  bool Record(std::string_view record) {
    const uint8_t type = record[6];
    if (type == kFullType || type == kFirstType) {
      in_batch_ = true;
      header_.clear();
    }
    if (!in_batch_) return true;
    header_.append(record.substr(kHeaderBytes, kBatchHeaderBytes - header_.size()));
    if (header_.size() == kBatchHeaderBytes) {
      const uint64_t begin = LittleEndian(std::string_view(header_).substr(0, 8));
      if (begin > end_) return false;
      const uint64_t count = LittleEndian(std::string_view(header_).substr(8));
      if (type == kFullType || type == kLastType) end_ = std::max(end_, begin + count);
    }
    if (type == kFullType || type == kLastType) in_batch_ = false;
    return true;
  }

  uint64_t end_;           // the sequence number that comes next
  bool in_batch_ = false;  // its last fragment is still to come
  std::string header_;     // the beginning of its bytes
  size_t gap_offset_ = 0;
};

absl::Status CheckLog(rocksdb::Env* env, const std::string& folder, const std::string& name,
                      BatchWalk* walk) {
  const std::string path = absl::StrCat(folder, "/", name);
  std::unique_ptr<rocksdb::SequentialFile> file;
  rocksdb::Status status = env->NewSequentialFile(path, &file, rocksdb::EnvOptions());
  if (!status.ok()) return FromRocks(status, folder);
  walk->NextLog();
  std::vector<char> buffer(kBlockBytes);
  for (uint64_t offset = 0;; offset += kBlockBytes) {
    rocksdb::Slice block;
    status = file->Read(kBlockBytes, &block, buffer.data());
    if (!status.ok()) return FromRocks(status, folder);
    if (!walk->Block({block.data(), block.size()})) {
      return absl::DataLossError(absl::StrCat(
          "journal in ", folder, ": records before offset ", offset + walk->gap_offset(), " of ",
          name, " are missing or damaged (sequence ", walk->last() + 1,
          " on). Restore the folder from a copy"));
    }
    if (block.size() < kBlockBytes) return absl::OkStatus();
  }
}

}  // namespace

absl::Status CheckNothingLost(rocksdb::Env* env, const std::string& folder, uint64_t stored,
                              uint64_t recovered) {
  std::vector<std::string> names;
  const rocksdb::Status status = env->GetChildren(folder, &names);
  if (!status.ok()) return FromRocks(status, folder);
  std::sort(names.begin(), names.end());
  BatchWalk walk(stored);
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".log")) continue;
    const absl::Status checked = CheckLog(env, folder, name, &walk);
    if (!checked.ok()) return checked;
  }
  if (walk.last() <= recovered) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "journal in ", folder, ": its logs are damaged: they hold records up to sequence ",
      walk.last(), " but recovery reads up to ", recovered, ". Restore the folder from a copy"));
}

}  // namespace eidetic::memory
