// The bytes of records: integers, strings and lists, written and read back with bounds.
//
// What: little-endian fixed integers, LEB128 varints, length-prefixed strings. A reader never
//   reads past its end and never trusts a length: after the first thing that does not fit it is
//   in error, at its end, and gives zeros. A varint has one form: a longer one is an error, so
//   that equal values have equal bytes.
// Thread safety: none. Ownership: a writer owns its bytes, a reader borrows them.
// Preconditions: none; input may be hostile.
#ifndef EIDETIC_MEMORY_DURABLE_RECORD_H_
#define EIDETIC_MEMORY_DURABLE_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace eidetic::memory {

class RecordWriter {
 public:
  void Fixed32(uint32_t value);
  void Fixed64(uint64_t value);
  void Float(float value);
  void Double(double value);
  void Varint(uint64_t value);
  void Signed(int64_t value);  // zigzag
  void String(std::string_view value);
  std::string Take() { return std::move(bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : rest_(bytes) {}
  uint32_t Fixed32();
  uint64_t Fixed64();
  float Float();
  double Double();
  uint64_t Varint();
  int64_t Signed();
  std::string_view String();
  // A count of elements of at least `least_bytes` each: in error when the rest can not hold them.
  uint64_t Count(uint64_t least_bytes);
  // From 0 to `last`: an enumerator or a flag; else in error.
  uint64_t AtMost(uint64_t last);

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  // DATA_LOSS naming `what`, unless everything was read and fitted.
  absl::Status Finish(std::string_view what) const;

 private:
  std::string_view Bytes(uint64_t count);
  uint64_t Fail();  // zero

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_RECORD_H_
