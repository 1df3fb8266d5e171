// The models that measurements are made on are of the size that the figures speak of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/model/model_description.h"

namespace eidetic {
namespace {

constexpr int64_t kBf16Bytes = 2;

ModelDescription Read(const std::string& name) {
  const auto model = ParseModelConfigFile("tests/bench/models/" + name);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : ModelDescription{};
}

// Of keys and values, in bf16, all attention layers.
int64_t KvBytesPerToken(const ModelDescription& model) {
  return 2 * kBf16Bytes * model.attention_layers() * model.attention.kv_heads *
         model.attention.head_dim;
}

TEST(BenchModelsTest, AIsMamba2AttnOf2700Million) {
  const ModelDescription model = Read("A.json");
  EXPECT_EQ(model.family, "mamba2attn");
  EXPECT_EQ(model.vocab_size, 50288);
  EXPECT_EQ(model.mamba_layers(), 58);
  EXPECT_EQ(model.attention.rotary_dim, 64);
  EXPECT_NEAR(ParameterCount(model) * kBf16Bytes, 5.4e9, 0.05e9);
  EXPECT_EQ(KvBytesPerToken(model), 90 << 10);
  // A session's state in float32: 80 heads of 64 x 128 in 58 layers, and convolutions.
  EXPECT_EQ(StateElements(model), 58 * (80 * 64 * 128 + 3 * (5120 + 256)) + 6 * 3 * 3 * 3840);
}

TEST(BenchModelsTest, BIsBambaOf9Billion) {
  const ModelDescription model = Read("B.json");
  EXPECT_EQ(model.family, "bamba");
  EXPECT_EQ(model.mamba_layers(), 29);
  EXPECT_EQ(model.attention.rotary_dim, 64);
  EXPECT_FALSE(model.tied_embeddings);
  EXPECT_NEAR(ParameterCount(model), 9.78e9, 0.01e9);
  EXPECT_EQ(KvBytesPerToken(model), 12 << 10);
  EXPECT_EQ(StateElements(model), 29 * (128 * 64 * 128 + 3 * (8192 + 256)));
}

}  // namespace
}  // namespace eidetic
