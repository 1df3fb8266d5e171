#include "memory/durable/record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace eidetic::memory {
namespace {

const std::vector<uint64_t> kNumbers = {
    0, 1, 127, 128, 16383, 16384, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}};

std::string Varint(uint64_t value) {
  RecordWriter writer;
  writer.Varint(value);
  return writer.Take();
}

TEST(Record, GivesBackWhatWasWritten) {
  RecordWriter writer;
  for (uint64_t n : kNumbers) {
    writer.Varint(n);
    writer.Fixed64(n);
    writer.Fixed32(static_cast<uint32_t>(n));
    writer.Signed(static_cast<int64_t>(n));
  }
  writer.Float(-0.0f);
  writer.Double(std::numeric_limits<double>::infinity());
  writer.String("");
  writer.String(std::string("a\0b", 3));
  RecordReader reader(writer.bytes());
  for (uint64_t n : kNumbers) {
    EXPECT_EQ(reader.Varint(), n);
    EXPECT_EQ(reader.Fixed64(), n);
    EXPECT_EQ(reader.Fixed32(), static_cast<uint32_t>(n));
    EXPECT_EQ(reader.Signed(), static_cast<int64_t>(n));
  }
  EXPECT_TRUE(std::signbit(reader.Float()));
  EXPECT_EQ(reader.Double(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(reader.String(), "");
  EXPECT_EQ(reader.String(), std::string_view("a\0b", 3));
  EXPECT_TRUE(reader.Finish("record").ok());
}

TEST(Record, HasTheBytesThatItsHeaderPromises) {
  RecordWriter writer;
  writer.Fixed32(0x01020304);
  writer.Varint(300);
  writer.Signed(-1);
  writer.Signed(1);
  EXPECT_EQ(writer.bytes(), "\x04\x03\x02\x01\xac\x02\x01\x02");
}

TEST(Record, SaysWhereItIsCutShort) {
  RecordWriter writer;
  writer.Fixed32(7);
  writer.Varint(uint64_t{1} << 40);
  writer.String("passage");
  const std::string bytes = writer.Take();
  for (size_t size = 0; size < bytes.size(); ++size) {
    RecordReader reader(std::string_view(bytes).substr(0, size));
    reader.Fixed32();
    reader.Varint();
    EXPECT_EQ(reader.String(), "");
    EXPECT_FALSE(reader.ok());
    EXPECT_TRUE(reader.at_end());  // so a loop over elements ends
    EXPECT_EQ(reader.Fixed64(), 0u);
    const absl::Status status = reader.Finish("token record");
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_NE(status.message().find("token record"), absl::string_view::npos);
  }
}

TEST(Record, RefusesBytesAfterItsEnd) {
  RecordReader reader("\x01\x02");
  reader.Varint();
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Finish("record").code(), absl::StatusCode::kDataLoss);
}

TEST(Record, RefusesVarintsThatOverflowOrAreLongerThanNeeded) {
  const std::string nine(9, '\xff');
  EXPECT_EQ(RecordReader(nine + "\x01").Varint(), ~uint64_t{0});
  for (const std::string& bytes :
       {nine + "\x02", nine + "\x81\x01", std::string("\x80\x00", 2), std::string(10, '\x80')}) {
    RecordReader reader(bytes);
    EXPECT_EQ(reader.Varint(), 0u);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Record, NeverTrustsALength) {
  for (uint64_t length : {uint64_t{4}, uint64_t{1} << 40, ~uint64_t{0}}) {
    const std::string bytes = Varint(length) + "abc";
    RecordReader text(bytes);
    EXPECT_EQ(text.String(), "");
    EXPECT_FALSE(text.ok());
    RecordReader list(bytes);
    EXPECT_EQ(list.Count(1), 0u);
    EXPECT_FALSE(list.ok());
  }
}

TEST(Record, CountsElementsThatFit) {
  EXPECT_EQ(RecordReader(Varint(2) + "abcd").Count(2), 2u);
  const std::string three = Varint(2) + "abc";
  RecordReader reader(three);
  EXPECT_EQ(reader.Count(2), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(Record, BoundsEnumerators) {
  EXPECT_EQ(RecordReader(Varint(3)).AtMost(3), 3u);
  const std::string four = Varint(4);
  RecordReader reader(four);
  EXPECT_EQ(reader.AtMost(3), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(Record, AnyBytesThatReadAsAVarintAreItsOnlyForm) {
  std::mt19937 random(3);
  int read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(1 + random() % 11, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 3 ? random() | 0x80 : random());
    RecordReader reader(bytes);
    const uint64_t value = reader.Varint();
    if (!reader.Finish("varint").ok()) continue;
    ++read;
    EXPECT_EQ(Varint(value), bytes);
  }
  EXPECT_GT(read, 1000);
}

}  // namespace
}  // namespace eidetic::memory
