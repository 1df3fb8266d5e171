#include "memory/durable/record.h"

#include <glog/logging.h>

#include <bit>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {
namespace {

constexpr int kVarintBits = 7;
constexpr uint64_t kMoreFollows = 0x80;

template <typename T>
void AppendLittleEndian(T value, std::string& bytes) {
  char digits[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) digits[i] = static_cast<char>(value >> (8 * i));
  bytes.append(digits, sizeof(T));
}

template <typename T>
T LittleEndian(std::string_view bytes) {
  T value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    value |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

}  // namespace

void RecordWriter::Fixed32(uint32_t value) { AppendLittleEndian(value, bytes_); }
void RecordWriter::Fixed64(uint64_t value) { AppendLittleEndian(value, bytes_); }
void RecordWriter::Float(float value) { Fixed32(std::bit_cast<uint32_t>(value)); }
void RecordWriter::Double(double value) { Fixed64(std::bit_cast<uint64_t>(value)); }

void RecordWriter::Varint(uint64_t value) {
  char digits[(64 + kVarintBits - 1) / kVarintBits];
  size_t count = 0;
  for (; value >= kMoreFollows; value >>= kVarintBits) {
    digits[count++] = static_cast<char>(value | kMoreFollows);
  }
  digits[count++] = static_cast<char>(value);
  bytes_.append(digits, count);
}

void RecordWriter::Signed(int64_t value) {
  Varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void RecordWriter::String(std::string_view value) {
  Varint(value.size());
  bytes_.append(value);
}

uint64_t RecordReader::Fail() {
  ok_ = false;
  rest_ = {};
  return 0;
}

std::string_view RecordReader::Bytes(uint64_t count) {
  if (count > rest_.size()) {
    Fail();
    return {};
  }
  const std::string_view bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return bytes;
}

uint32_t RecordReader::Fixed32() { return LittleEndian<uint32_t>(Bytes(sizeof(uint32_t))); }
uint64_t RecordReader::Fixed64() { return LittleEndian<uint64_t>(Bytes(sizeof(uint64_t))); }
float RecordReader::Float() { return std::bit_cast<float>(Fixed32()); }
double RecordReader::Double() { return std::bit_cast<double>(Fixed64()); }

uint64_t RecordReader::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += kVarintBits) {
    const uint64_t byte = LittleEndian<uint64_t>(Bytes(1));
    if (!ok_) return 0;
    const uint64_t bits = byte & ~kMoreFollows;
    const bool overflows = (bits << shift) >> shift != bits;
    const bool longer_than_needed = byte == 0 && shift > 0;
    if (overflows || longer_than_needed) break;
    value |= bits << shift;
    if (byte == bits) return value;
  }
  return Fail();
}

int64_t RecordReader::Signed() {
  const uint64_t zigzag = Varint();
  return static_cast<int64_t>((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

std::string_view RecordReader::String() { return Bytes(Varint()); }

uint64_t RecordReader::Count(uint64_t least_bytes) {
  CHECK_GT(least_bytes, 0u);
  const uint64_t count = Varint();
  if (count <= rest_.size() / least_bytes) return count;
  return Fail();
}

uint64_t RecordReader::AtMost(uint64_t last) {
  const uint64_t value = Varint();
  if (value <= last) return value;
  return Fail();
}

absl::Status RecordReader::Finish(std::string_view what) const {
  if (ok_ && at_end()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(std::string(what), ": ", ok_ ? "bytes follow its end" : "damaged or cut short"));
}

}  // namespace eidetic::memory
