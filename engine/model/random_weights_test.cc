#include "engine/model/random_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

namespace eidetic {
namespace {

constexpr char kConfig[] = R"({
    "d_model": 64, "n_layer": 3, "vocab_size": 1000, "pad_vocab_size_multiple": 16,
    "ssm_cfg": {"layer": "Mamba2", "headdim": 8}, "attn_layer_idx": [1],
    "attn_cfg": {"causal": true, "num_heads": 8, "d_conv": 4, "qkv_proj_bias": false,
                 "out_proj_bias": false}})";

class RandomWeightsTest : public ::testing::Test {
 protected:
  RandomWeightsTest() : model_(*ParseModelConfigText(kConfig)) {}

  std::unique_ptr<RandomWeights> Make(uint64_t seed) {
    return *RandomWeights::Create(model_, seed);
  }

  static std::vector<float> Numbers(const RandomWeights& weights, const std::string& name,
                                    const std::vector<int64_t>& shape) {
    const TensorView view = *weights.Get(name, shape);
    std::vector<float> numbers(view.data.size() / DTypeBytes(view.dtype));
    for (size_t i = 0; i < numbers.size(); ++i) {
      uint16_t half = 0;
      if (view.dtype == DType::kF32) {
        std::memcpy(&numbers[i], view.data.data() + i * sizeof(float), sizeof(float));
      } else {
        std::memcpy(&half, view.data.data() + i * sizeof(half), sizeof(half));
        numbers[i] = std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
      }
    }
    return numbers;
  }

  static void ExpectWithin(const std::vector<float>& numbers, float low, float high) {
    for (const float number : numbers) {
      EXPECT_GE(number, low);
      EXPECT_LE(number, high);
    }
  }

  const ModelDescription model_;
};

constexpr char kInProj[] = "backbone.layers.0.mixer.in_proj.weight";
constexpr char kQkv[] = "backbone.layers.1.mixer.in_proj.weight";

TEST_F(RandomWeightsTest, AreAFunctionOfSeedAndName) {
  const auto weights = Make(7), again = Make(7), other = Make(8);
  const std::vector<int64_t> shape = {192, 64};
  const std::vector<float> numbers = Numbers(*weights, kInProj, shape);
  EXPECT_EQ(numbers, Numbers(*again, kInProj, shape));
  EXPECT_NE(numbers, Numbers(*other, kInProj, shape));
  EXPECT_NE(numbers, Numbers(*weights, kQkv, shape));
  const std::string norm = "backbone.layers.2.norm.weight";
  EXPECT_EQ(Numbers(*weights, norm, {64}), Numbers(*again, norm, {64}));
  EXPECT_NE(Numbers(*weights, norm, {64}), Numbers(*other, norm, {64}));
  EXPECT_EQ(weights->ContentHash(), again->ContentHash());
  EXPECT_NE(weights->ContentHash(), other->ContentHash());
  EXPECT_EQ(weights->ContentHash().size(), 64u);
}

TEST_F(RandomWeightsTest, TheHashTellsModelsApart) {
  ModelDescription larger = model_;
  larger.vocab_size += 16;
  EXPECT_NE(Make(7)->ContentHash(), (*RandomWeights::Create(larger, 7))->ContentHash());
}

TEST_F(RandomWeightsTest, MatricesAreNormal) {
  const auto weights = Make(1);
  const std::vector<float> numbers =
      Numbers(*weights, "backbone.embedding.weight", {model_.vocab_size, model_.d_model});
  double sum = 0, squares = 0, beyond = 0;
  for (const float number : numbers) {
    sum += number;
    squares += static_cast<double>(number) * number;
    beyond += std::abs(number) > 0.04f;
  }
  const double count = static_cast<double>(numbers.size());
  EXPECT_NEAR(sum / count, 0, 5 * 0.02 / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(squares / count), 0.02, 2e-4);
  EXPECT_NEAR(beyond / count, 0.0455, 0.01);  // two deviations
  EXPECT_GT(std::set<float>(numbers.begin(), numbers.end()).size(), 100u);
}

TEST_F(RandomWeightsTest, VectorsAreWhereMamba2StartsItsTraining) {
  const auto weights = Make(1);
  const auto vector = [&](const std::string& name, const std::vector<int64_t>& shape) {
    return Numbers(*weights, "backbone.layers.0.mixer." + name, shape);
  };
  const int64_t heads = model_.mamba2.heads;
  ExpectWithin(vector("A_log", {heads}), 0, std::log(16.0f));
  ExpectWithin(vector("D", {heads}), 1, 1);
  ExpectWithin(vector("norm.weight", {128}), 0.9f, 1.1f);
  std::vector<float> dt = vector("dt_bias", {heads});
  for (float& value : dt) value = std::log1p(std::exp(value));
  ExpectWithin(dt, 0.000999f, 0.1001f);
  const int64_t channels = model_.mamba2.conv_channels();
  double squares = 0;
  for (const float value : vector("conv1d.weight", {channels, 4})) squares += value * value;
  EXPECT_NEAR(std::sqrt(squares / (channels * 4)), 0.5, 0.05);
}

TEST_F(RandomWeightsTest, BoundsWhatTheyTake) {
  const auto refusal = [&](const RandomWeightsLimits& limits) {
    return std::string(RandomWeights::Create(model_, 1, limits).status().message());
  };
  const int64_t largest = int64_t{2} * model_.vocab_size * model_.d_model;
  EXPECT_EQ(refusal({.max_matrix_bytes = largest}), "");
  EXPECT_THAT(refusal({.max_matrix_bytes = largest - 1}), ::testing::HasSubstr("a matrix of "));
  EXPECT_THAT(refusal({.max_vector_bytes = 10000}), ::testing::HasSubstr("vectors of "));
}

}  // namespace
}  // namespace eidetic
