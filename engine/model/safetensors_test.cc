#include "engine/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <random>
#include <string>

#include "engine/model/safetensors_test_files.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The message with which a file is refused; empty if it opens.
std::string Refusal(const std::string& bytes, const SafetensorsLimits& limits = {}) {
  const auto path = Write(TestFolder("refusal") / "x.safetensors", bytes);
  const auto file = SafetensorsFile::Open(path, limits);
  if (file.ok()) return "";
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(file.status().message());
  EXPECT_THAT(message, HasSubstr("x.safetensors"));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  return message;
}

TEST(SafetensorsFileTest, ReadsTensorsInAnyOrderOfTheHeader) {
  const std::string header =
      Object(R"("__metadata__":{"format":"pt"},)" + Entry("b", "F32", "[1]", 4, 8) + "," +
             Entry("a", "BF16", "[2,1]", 0, 4) + "," + Entry("empty", "F16", "[0,7]", 4, 4));
  const auto file =
      SafetensorsFile::Open(Write(TestFolder("order") / "x.safetensors", File(header + "  ", 8)));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->tensors().size(), 3);
  const TensorView& a = (*file)->tensors().at("a");
  EXPECT_EQ(a.dtype, DType::kBF16);
  EXPECT_THAT(a.shape, ElementsAre(2, 1));
  EXPECT_THAT(a.data, ElementsAre(std::byte{0}, std::byte{1}, std::byte{2}, std::byte{3}));
  EXPECT_EQ((*file)->tensors().at("b").data[0], std::byte{4});
  EXPECT_EQ((*file)->tensors().at("empty").data.size(), 0);
}

TEST(SafetensorsFileTest, ScalarHasOneElementAndAFileMayHoldNone) {
  EXPECT_EQ(Refusal(File(Object(Entry("s", "F32", "[]", 0, 4)), 4)), "");
  EXPECT_EQ(Refusal(File("{}", 0)), "");
}

TEST(SafetensorsFileTest, TellsMissingFilesAndThingsThatAreNoFiles) {
  const auto folder = TestFolder("missing");
  EXPECT_EQ(SafetensorsFile::Open(folder / "none").status().code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(SafetensorsFile::Open(folder / "fifo").status().message(),
              HasSubstr("not a regular file"));
  EXPECT_THAT(SafetensorsFile::Open(folder).status().message(), HasSubstr("not a regular file"));
}

TEST(SafetensorsFileTest, RefusesHeaderLengthsThatLie) {
  EXPECT_THAT(Refusal(""), HasSubstr("truncated: 0 bytes"));
  EXPECT_THAT(Refusal("1234567"), HasSubstr("truncated: 7 bytes"));
  EXPECT_THAT(Refusal(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
              HasSubstr("truncated: header of 16"));
  EXPECT_THAT(Refusal(std::string(8, '\xff')), HasSubstr("exceeds the limit"));
  EXPECT_THAT(Refusal(std::string(8, '\0')), HasSubstr("not valid JSON"));
}

TEST(SafetensorsFileTest, RefusesAHeaderBeyondTheLimitAtOnce) {
  const auto path = Write(TestFolder("huge") / "x.safetensors", File("", 0));
  std::filesystem::resize_file(path, int64_t{200} << 20);
  const uint64_t length = int64_t{100} << 20;
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .write(reinterpret_cast<const char*>(&length), sizeof(length));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(SafetensorsFile::Open(path).status().message(),
              HasSubstr("header of 104857600 bytes exceeds the limit of 16777216"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(SafetensorsFileTest, BoundsWhatAHeaderMayHold) {
  const std::string a = Entry("a", "F32", "[1]", 0, 4);
  const std::string b = Entry("b", "F32", "[1]", 4, 8);
  EXPECT_THAT(Refusal(File(Object(a + "," + b), 8), {.max_tensors = 1}),
              HasSubstr("more than 1 tensors"));
  EXPECT_THAT(Refusal(File(Object(Entry("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4)), 4)),
              HasSubstr("shape has more than 8 numbers"));
  EXPECT_THAT(Refusal(File(std::string(1 << 20, '['), 0)), HasSubstr("unexpected array"));
  EXPECT_THAT(Refusal(File(R"({"a":{"shape":[[)" + std::string(1 << 20, '['), 0)),
              HasSubstr("\"a\": shape is an unexpected array"));
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "{\"dtype\":";
  EXPECT_THAT(Refusal(File(nested, 0)), HasSubstr("dtype is an unexpected object"));
}

TEST(SafetensorsFileTest, RefusesFieldsThatAreMissingDoubledUnknownOrOfAnotherKind) {
  const auto refusal = [](const std::string& tensor) {
    return Refusal(File(R"({"w":)" + tensor + "}", 4));
  };
  EXPECT_THAT(refusal(R"({"shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("\"w\": dtype is missing"));
  EXPECT_THAT(refusal(R"({"dtype":"F32","data_offsets":[0,4]})"), HasSubstr("shape is missing"));
  EXPECT_THAT(refusal(R"({"dtype":"F32","shape":[1]})"), HasSubstr("data_offsets must be"));
  EXPECT_THAT(refusal(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"),
              HasSubstr("data_offsets must be"));
  EXPECT_THAT(refusal(R"({"dtype":"F32","shape":[1],"data_offsets":[0,2,4]})"),
              HasSubstr("data_offsets has more than 2"));
  EXPECT_THAT(refusal(R"({"dtype":"F32","dtype":"F32"})"), HasSubstr("dtype appears twice"));
  EXPECT_THAT(refusal(R"({"shape":[],"shape":[1]})"), HasSubstr("shape appears twice"));
  EXPECT_THAT(refusal(R"({"dtype":"F31"})"), HasSubstr("dtype unknown \"F31\""));
  EXPECT_THAT(refusal(R"({"dtype":7})"), HasSubstr("dtype is an unexpected number"));
  EXPECT_THAT(refusal(R"({"shape":"1"})"), HasSubstr("shape is an unexpected string"));
  EXPECT_THAT(refusal(R"({"shape":[-1]})"), HasSubstr("shape is an unexpected null, boolean, neg"));
  EXPECT_THAT(refusal(R"({"shape":[1.5]})"), HasSubstr("shape is an unexpected"));
  EXPECT_THAT(refusal(R"({"shape":[18446744073709551615]})"),
              HasSubstr("shape number is too large"));
  EXPECT_THAT(refusal(R"({"scale":1})"), HasSubstr("\"scale\" is not a field"));
  EXPECT_THAT(refusal("null"), HasSubstr("unexpected null"));
  EXPECT_THAT(refusal(R"({"dtype":)"), HasSubstr("not valid JSON"));
}

TEST(SafetensorsFileTest, RefusesShapesWhoseProductOverflows) {
  EXPECT_THAT(Refusal(File(Object(Entry("a", "F32", "[4294967296,4294967296]", 0, 0)), 0)),
              HasSubstr("\"a\": shape: its product overflows"));
  EXPECT_THAT(Refusal(File(Object(Entry("a", "F32", "[4611686018427387904]", 0, 0)), 0)),
              HasSubstr("\"a\": shape: its product overflows"));
}

TEST(SafetensorsFileTest, RefusesTensorsThatDoNotTileTheData) {
  const std::string a = Entry("a", "F32", "[2]", 0, 8);
  EXPECT_THAT(Refusal(File(Object(a), 7)), HasSubstr("\"a\": data_offsets: 8 is beyond the 7"));
  EXPECT_THAT(Refusal(File(Object(a), 9)), HasSubstr("1 bytes after the last tensor"));
  EXPECT_THAT(Refusal(File(Object(Entry("a", "F32", "[2]", 0, 4)), 4)),
              HasSubstr("span 4 bytes, but dtype and shape need 8"));
  EXPECT_THAT(Refusal(File(Object(Entry("a", "F32", "[2]", 8, 0)), 8)),
              HasSubstr("begin is beyond end"));
  EXPECT_THAT(Refusal(File(Object(a + "," + Entry("b", "F32", "[1]", 4, 8)), 8)),
              HasSubstr("\"b\": data_offsets: begins at 4, overlapping"));
  EXPECT_THAT(Refusal(File(Object(a + "," + Entry("b", "F32", "[1]", 12, 16)), 16)),
              HasSubstr("\"b\": data_offsets: begins at 12, a gap after"));
  EXPECT_THAT(Refusal(File(Object(a + "," + Entry("a", "F32", "[1]", 8, 12)), 12)),
              HasSubstr("\"a\" appears twice"));
}

TEST(SafetensorsFileTest, HostileNamesStayOnOneShortLine) {
  const std::string name = std::string("\\n\\u0000") + std::string(100000, 'x');
  const std::string message = Refusal(File(Object(Entry(name, "F32", "[1]", 0, 8)), 8));
  EXPECT_THAT(message, HasSubstr("\\n\\x00xxx"));
  EXPECT_LT(message.size(), 600);
}

TEST(SafetensorsFileTest, SurvivesMutations) {
  const std::string good =
      File(Object(Entry("a", "BF16", "[2,1]", 0, 4) + "," + Entry("b", "F32", "[1]", 4, 8)), 8);
  const auto path = TestFolder("mutations") / "x.safetensors";
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bad = good;
    if (round % 4 == 0) bad.resize(random() % good.size());
    for (uint32_t edits = random() % 4; edits > 0 && !bad.empty(); --edits) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    const auto file = SafetensorsFile::Open(Write(path, bad));
    if (!file.ok()) {
      ++refused;
      continue;
    }
    for (const auto& [name, tensor] : (*file)->tensors()) {
      EXPECT_LE(tensor.data.size(), bad.size()) << name;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace eidetic
