#include "engine/model/adapter_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_replace.h"
#include "engine/model/safetensors_test_files.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

constexpr char kConfig[] = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 8, "bias": "none",
    "target_modules": ["q_proj"], "modules_to_save": ["norm"], "fan_in_fan_out": false})";

class AdapterWeightsTest : public ::testing::Test {
 protected:
  static std::string Tensors(const std::string& dtype = "F32") {
    return File(
        Object(Entry("base_model.model.a.q_proj.lora_A.weight", dtype, "[2,3]", 0, 24) + "," +
               Entry("base_model.model.a.q_proj.lora_B.weight", "F32", "[1,2]", 24, 32) + "," +
               Entry("base_model.model.norm.weight", "F32", "[2]", 32, 40)),
        40);
  }
  void WriteConfig(const std::string& json) { Write(folder_ / "adapter_config.json", json); }
  void WriteTensors(const std::string& bytes) {
    Write(folder_ / "adapter_model.safetensors", bytes);
  }
  AdapterWeightsTest() {
    WriteConfig(kConfig);
    WriteTensors(Tensors());
  }
  std::string Refusal(const AdapterLimits& limits = {}) {
    const auto weights = AdapterWeights::Open(folder_, limits);
    if (weights.ok()) return "";
    EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(weights.status().message());
  }
  // What is said of the config with `from` replaced by `to`.
  std::string RefusalWith(const std::string& from, const std::string& to) {
    const std::string changed = absl::StrReplaceAll(kConfig, {{from, to}});
    EXPECT_NE(changed, kConfig);
    WriteConfig(changed);
    return Refusal();
  }

  const std::filesystem::path folder_ = TestFolder("adapter");
};

TEST_F(AdapterWeightsTest, NamesAreTheModels) {
  const auto weights = AdapterWeights::Open(folder_);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->rank(), 2);
  EXPECT_EQ((*weights)->scale(), 4.0f);
  EXPECT_EQ((*weights)->tensors().size(), 3u);
  EXPECT_TRUE((*weights)->tensors().contains("a.q_proj.lora_A.weight"));
  EXPECT_TRUE((*weights)->tensors().contains("norm.weight"));
}

TEST_F(AdapterWeightsTest, TheHashIsOfBothFiles) {
  const std::string before = (*AdapterWeights::Open(folder_))->content_hash();
  EXPECT_EQ(before.size(), 64u);
  WriteConfig(absl::StrReplaceAll(kConfig, {{"\"lora_alpha\": 8", "\"lora_alpha\": 9"}}));
  EXPECT_NE((*AdapterWeights::Open(folder_))->content_hash(), before);
  WriteConfig(kConfig);
  EXPECT_EQ((*AdapterWeights::Open(folder_))->content_hash(), before);
  std::string tensors = Tensors();
  tensors.back() ^= 1;
  WriteTensors(tensors);
  EXPECT_NE((*AdapterWeights::Open(folder_))->content_hash(), before);
}

TEST_F(AdapterWeightsTest, RankStabilisedScale) {
  WriteConfig(absl::StrReplaceAll(kConfig, {{"\"bias\"", "\"use_rslora\": true, \"bias\""}}));
  EXPECT_FLOAT_EQ((*AdapterWeights::Open(folder_))->scale(), 8 / std::sqrt(2.0f));
}

TEST_F(AdapterWeightsTest, AConfigThatIsNotDoneHereIsRefusedByItsField) {
  EXPECT_THAT(RefusalWith("LORA", "IA3"), HasSubstr("adapter_config.json: peft_type: "));
  EXPECT_THAT(RefusalWith("\"r\": 2", "\"r\": 0"), HasSubstr("adapter_config.json: r: "));
  EXPECT_THAT(RefusalWith("\"r\": 2", "\"r\": 257"), HasSubstr("r: "));
  EXPECT_THAT(RefusalWith("\"r\": 2,", ""), HasSubstr("r: is missing"));
  EXPECT_THAT(RefusalWith(": 8", ": \"8\""), HasSubstr("lora_alpha: "));
  EXPECT_THAT(RefusalWith("none", "all"), HasSubstr("bias: "));
  EXPECT_THAT(RefusalWith("_out\": false", "_out\": true"), HasSubstr("fan_in_fan_out: "));
  EXPECT_THAT(RefusalWith("\"bias\"", "\"use_dora\": true, \"bias\""), HasSubstr("use_dora: "));
  EXPECT_THAT(RefusalWith("\"bias\"", "\"rank_pattern\": {\"q\": 4}, \"bias\""),
              HasSubstr("rank_pattern: "));
  EXPECT_THAT(RefusalWith("[\"norm\"]", "[1]"), HasSubstr("modules_to_save: "));
  EXPECT_THAT(RefusalWith("{\"peft_type\"", "[\"peft_type\""), HasSubstr("one JSON object"));
}

TEST_F(AdapterWeightsTest, TensorsAndConfigMustAgree) {
  EXPECT_THAT(RefusalWith("[\"q_proj\"]", "[\"k_proj\"]"),
              HasSubstr("does not list in target_modules"));
  EXPECT_THAT(RefusalWith("[\"norm\"]", "[]"), HasSubstr("does not list in modules_to_save"));
  EXPECT_THAT(RefusalWith("[\"q_proj\"]", "[\"q_proj\", \"v_proj\"]"), HasSubstr("\"v_proj\""));
}

TEST_F(AdapterWeightsTest, BadTensorFilesAreRefused) {
  WriteTensors(Tensors("I32"));
  EXPECT_THAT(Refusal(), HasSubstr("dtype I32 is not supported"));
  WriteTensors(Tensors().substr(0, Tensors().size() - 1));
  EXPECT_THAT(Refusal(), HasSubstr("truncated"));
  WriteTensors(File(Object(Entry("norm.weight", "F32", "[2]", 0, 8)), 8));
  EXPECT_THAT(Refusal(), HasSubstr("must begin with base_model.model."));
  WriteTensors(File("{}", 0));
  EXPECT_THAT(Refusal(), HasSubstr("has no tensors"));
  WriteTensors(Tensors());
  EXPECT_THAT(Refusal({.max_bytes = 64}), HasSubstr("exceed the limit of 64"));
  std::filesystem::remove(folder_ / "adapter_model.safetensors");
  EXPECT_EQ(AdapterWeights::Open(folder_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace eidetic
