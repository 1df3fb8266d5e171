// The model that travels with the project opens and is what its README says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/model/model_description.h"
#include "engine/model/safetensors.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;

constexpr char kFolder[] = "engine/model/demo";
constexpr int64_t kParameters = 18252120;

TEST(DemoModelTest, DescriptionCountsTheWeightsExactly) {
  const auto model = ParseModelConfig(kFolder);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto weights = WeightFolder::Open(kFolder);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(ParameterCount(*model), kParameters);
  EXPECT_EQ((*weights)->total_bytes(), kParameters * 2);

  EXPECT_EQ(model->d_model, 384);
  EXPECT_EQ(model->attention_layers(), 2);
  EXPECT_FALSE(model->layers[2].retrieves);  // layer 5 does all the finding
  EXPECT_TRUE(model->layers[5].retrieves);
  EXPECT_EQ(model->attention.head_dim, 64);
  EXPECT_EQ(model->attention.rotary_dim, 32);
  EXPECT_THAT(model->end_tokens, ElementsAre(0));
}

TEST(DemoModelTest, EveryNamedTensorHasItsShape) {
  const auto model = ParseModelConfig(kFolder);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto weights = WeightFolder::Open(kFolder);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const auto expect = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const auto view = (*weights)->Get(name, shape);
    EXPECT_TRUE(view.ok()) << view.status();
  };
  const TensorNames& names = model->names;
  const Mamba2Description& mamba = model->mamba2;
  expect(names.embedding + ".weight", {6144, 384});
  expect(names.final_norm + ".weight", {384});
  for (int layer = 0; layer < 8; ++layer) {
    for (const std::string& name : {names.mixer_norm, names.mlp_norm}) {
      expect(TensorName(name, layer) + ".weight", {384});
    }
    expect(TensorName(names.gate, layer) + ".weight", {1024, 384});
    expect(TensorName(names.up, layer) + ".weight", {1024, 384});
    expect(TensorName(names.down, layer) + ".weight", {384, 1024});
    if (model->layers[layer].mixer == MixerKind::kAttention) {
      expect(TensorName(names.q, layer) + ".weight", {384, 384});
      expect(TensorName(names.k, layer) + ".weight", {128, 384});
      expect(TensorName(names.v, layer) + ".weight", {128, 384});
      expect(TensorName(names.o, layer) + ".weight", {384, 384});
      continue;
    }
    for (const std::string& name : {names.dt_bias, names.a_log, names.d}) {
      expect(TensorName(name, layer), {12});
    }
    expect(TensorName(names.gated_norm, layer) + ".weight", {768});
    expect(TensorName(names.in_proj, layer) + ".weight", {mamba.in_proj_rows(), 384});
    expect(TensorName(names.conv, layer) + ".weight", {mamba.conv_channels(), 4});
    expect(TensorName(names.conv, layer) + ".bias", {mamba.conv_channels()});
    expect(TensorName(names.out_proj, layer) + ".weight", {384, 768});
  }
}

TEST(DemoModelTest, HashIsThatOfItsBytes) {
  const auto weights = WeightFolder::Open(kFolder);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->ContentHash(),
            "e178952d47922ba143cb69cca5b533a2c2e940a9ea0e35991d1146d854d9f281");
}

TEST(DemoModelTest, AdapterIsReadable) {
  const auto adapter =
      SafetensorsFile::Open(std::string(kFolder) + "/adapter/adapter_model.safetensors");
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ((*adapter)->tensors().size(), 51);
}

}  // namespace
}  // namespace eidetic
