#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/model/safetensors.h"
#include "engine/model/safetensors_test_files.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WeightFolderTest : public testing::Test {
 protected:
  void WriteShards() {
    Write(folder_ / "1.safetensors", File(Object(Entry("conv", "F32", "[3,1,2]", 0, 24) + "," +
                                                 Entry("ids", "I64", "[1]", 24, 32)),
                                          32));
    Write(folder_ / "2.safetensors", File(Object(Entry("w", "BF16", "[2]", 0, 4)), 4));
  }
  void WriteIndex(const std::string& json) {
    Write(folder_ / "model.safetensors.index.json", json);
  }
  std::string RefusalOfIndex(const std::string& json, const SafetensorsLimits& limits = {}) {
    WriteIndex(json);
    const auto weights = WeightFolder::Open(folder_, limits);
    return weights.ok() ? "" : std::string(weights.status().message());
  }

  const std::filesystem::path folder_ = TestFolder("folder");
};

constexpr char kIndex[] = R"({"metadata":{"total_size":28,"x":[null,{"y":-1.5}]},"weight_map":)"
                          R"({"conv":"1.safetensors","ids":"1.safetensors","w":"2.safetensors"}})";

TEST_F(WeightFolderTest, FindsTensorsAcrossShards) {
  WriteShards();
  WriteIndex(kIndex);
  const auto weights = WeightFolder::Open(folder_);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->total_bytes(), 28);
  EXPECT_TRUE((*weights)->Has("w"));
  EXPECT_FALSE((*weights)->Has("v"));

  const auto conv = (*weights)->Get("conv", std::vector<int64_t>{3, 2});
  ASSERT_TRUE(conv.ok()) << conv.status();
  EXPECT_THAT(conv->shape, ElementsAre(3, 2));
  EXPECT_TRUE((*weights)->Get("conv", std::vector<int64_t>{3, 1, 2}).ok());
}

TEST_F(WeightFolderTest, GetTellsWhatIsWrong) {
  WriteShards();
  WriteIndex(kIndex);
  const auto weights = WeightFolder::Open(folder_);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->Get("v", std::vector<int64_t>{2}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT((*weights)->Get("ids", std::vector<int64_t>{1}).status().message(),
              HasSubstr("\"ids\": dtype I64 is not supported"));
  for (const std::vector<int64_t>& wrong :
       {std::vector<int64_t>{2, 3}, {3}, {6}, {3, 2, 1}, {3, 2, 2}, {}}) {
    EXPECT_THAT((*weights)->Get("conv", wrong).status().message(), HasSubstr("shape [3, 1, 2]"));
  }
}

TEST_F(WeightFolderTest, OneFileNeedsNoIndex) {
  Write(folder_ / "model.safetensors", File(Object(Entry("w", "F32", "[2]", 0, 8)), 8));
  const auto weights = WeightFolder::Open(folder_);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_TRUE((*weights)->Get("w", std::vector<int64_t>{2}).ok());
}

TEST_F(WeightFolderTest, HashChangesWithAnyByte) {
  const std::string bytes = File("{}", 0);
  Write(folder_ / "model.safetensors", bytes);
  const auto weights = WeightFolder::Open(folder_);
  ASSERT_TRUE(weights.ok());
  // sha256sum of 02 00 00 00 00 00 00 00 7b 7d
  EXPECT_EQ((*weights)->ContentHash(),
            "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd");
  Write(folder_ / "model.safetensors", File("{ }", 0));
  EXPECT_NE((*WeightFolder::Open(folder_))->ContentHash(), (*weights)->ContentHash());
}

TEST_F(WeightFolderTest, RefusesIndexesThatPointElsewhere) {
  WriteShards();
  EXPECT_EQ(WeightFolder::Open(folder_).status().code(), absl::StatusCode::kNotFound);
  for (const char* name : {"../1.safetensors", "/etc/passwd", "a/b", "..", ".", "", "x\\u0000y"}) {
    EXPECT_THAT(RefusalOfIndex(std::string(R"({"weight_map":{"w":")") + name + "\"}}"),
                HasSubstr("must be a plain name"));
  }
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"w":"3.safetensors"}})"), HasSubstr("No such file"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"w":"1.safetensors"}})"),
              HasSubstr("\"w\" is not in \"1.safetensors\""));
}

TEST_F(WeightFolderTest, RefusesIndexesOfAnotherForm) {
  WriteShards();
  EXPECT_THAT(RefusalOfIndex("{}"), HasSubstr("weight_map is missing"));
  EXPECT_THAT(RefusalOfIndex("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(RefusalOfIndex("7"), HasSubstr("must be an object"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":[]})"), HasSubstr("weight_map must be"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":"w"})"), HasSubstr("weight_map must be"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"w":2}})"), HasSubstr("weight_map must be"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"w":{}}})"), HasSubstr("weight_map must be"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{},"weight_map":{}})"), HasSubstr("appears twice"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"w":"2.safetensors","w":"2.safetensors"}})"),
              HasSubstr("\"w\" appears twice"));
  EXPECT_THAT(RefusalOfIndex(R"({"metadata":)" + std::string(1000, '[')),
              HasSubstr("nests deeper"));
  EXPECT_THAT(RefusalOfIndex(kIndex, {.max_index_bytes = 8}), HasSubstr("exceed the limit of 8"));
}

TEST_F(WeightFolderTest, LimitsHoldOverAllShards) {
  WriteShards();
  EXPECT_THAT(RefusalOfIndex(kIndex, {.max_tensors = 2}), HasSubstr("more than 2 tensors"));
  EXPECT_THAT(RefusalOfIndex(kIndex, {.max_shards = 1}), HasSubstr("more than 1 files"));
  EXPECT_THAT(RefusalOfIndex(R"({"weight_map":{"conv":"1.safetensors","w":"2.safetensors"}})",
                             {.max_tensors = 2}),
              HasSubstr("more than 0 tensors"));
  EXPECT_THAT(RefusalOfIndex(kIndex, {.max_header_bytes = 150}), HasSubstr("exceeds the limit"));
}

}  // namespace
}  // namespace eidetic
