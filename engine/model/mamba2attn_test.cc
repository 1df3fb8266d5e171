#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/model/model_description.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// In the form of state-spaces/mamba2attn-2.7b, small.
Json SmallConfig() {
  return Json::parse(R"({
    "d_model": 48, "d_intermediate": 0, "n_layer": 4, "vocab_size": 101,
    "ssm_cfg": {"layer": "Mamba2", "headdim": 12, "d_state": 20},
    "attn_layer_idx": [1, 3],
    "attn_cfg": {"causal": true, "d_conv": 4, "head_dim": 16, "num_heads": 6,
                 "out_proj_bias": false, "qkv_proj_bias": false, "rotary_emb_dim": 8},
    "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
    "pad_vocab_size_multiple": 16, "tie_embeddings": true})");
}

ModelDescription Parse(const Json& config) {
  const auto model = ParseModelConfigText(config.dump());
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : ModelDescription{};
}

// The message with which the small config is refused once the field at `path` is `value`.
std::string RefusalWith(const std::string& path, const Json& value) {
  Json config = SmallConfig();
  config[Json::json_pointer(path)] = value;
  const auto model = ParseModelConfigText(config.dump());
  EXPECT_FALSE(model.ok()) << path << " = " << value;
  return std::string(model.status().message());
}

TEST(Mamba2AttnTest, ReadsAConfigThatNamesNoType) {
  const ModelDescription model = Parse(SmallConfig());
  EXPECT_EQ(model.family, "mamba2attn");
  EXPECT_EQ(model.vocab_size, 112);
  EXPECT_EQ(model.d_model, 48);
  EXPECT_EQ(model.mlp_dim, 0);
  EXPECT_FLOAT_EQ(model.norm_eps, 1e-5f);
  EXPECT_EQ(model.trained_context, 2048);
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_TRUE(model.end_tokens.empty());
  EXPECT_EQ(model.attention_layers(), 2);
  EXPECT_TRUE(model.layers[3].retrieves);
  EXPECT_EQ(model.attention.kv_heads, 6);
  EXPECT_EQ(model.attention.rotary_dim, 8);
  EXPECT_FLOAT_EQ(model.attention.scale, 0.25f);
  EXPECT_EQ(model.attention.conv_width, 4);
  EXPECT_TRUE(model.attention.conv_bias);
  EXPECT_FALSE(model.attention.bias);
  EXPECT_EQ(model.mamba2.heads, 8);
  EXPECT_EQ(model.mamba2.d_state, 20);
  EXPECT_EQ(model.mamba2.conv_width, 4);
  EXPECT_TRUE(model.mamba2.conv_bias);
  EXPECT_EQ(model.mamba2.dt_max, std::numeric_limits<float>::infinity());
  EXPECT_EQ(StateElements(model), 2 * (96 * 20 + (96 + 40) * 3) + 2 * 288 * 3);
}

TEST(Mamba2AttnTest, CountsEveryTensor) {
  const int64_t mamba = (96 + 136 + 8) * 48 + 136 * 4 + 136 + 3 * 8 + 96 + 48 * 96 + 48;
  const int64_t attention = 288 * 48 + 288 * 4 + 288 + 48 * 96 + 48;
  EXPECT_EQ(ParameterCount(Parse(SmallConfig())), 112 * 48 + 2 * mamba + 2 * attention + 48);
}

TEST(Mamba2AttnTest, NamesTensorsAsMambaSsmDoes) {
  const TensorNames names = Parse(SmallConfig()).names;
  EXPECT_EQ(names.embedding, "backbone.embedding");
  EXPECT_EQ(names.lm_head, "");
  EXPECT_EQ(TensorName(names.qkv, 9), "backbone.layers.9.mixer.in_proj");
  EXPECT_EQ(names.q + names.k + names.v, "");
  EXPECT_EQ(TensorName(names.gated_norm, 0), "backbone.layers.0.mixer.norm");
  Json untied = SmallConfig();
  untied["tie_embeddings"] = false;
  EXPECT_EQ(Parse(untied).names.lm_head, "lm_head");
}

TEST(Mamba2AttnTest, ReadsWhatPublishedConfigsLeaveOut) {
  Json config = SmallConfig();
  config["model_type"] = "mamba2attn";
  config["eidetic_trained_context"] = 8192;
  config["eidetic_retrieving_layers"] = {3};
  config["eos_token_id"] = 0;
  config["attn_cfg"]["num_heads_kv"] = 2;
  config["attn_cfg"]["qkv_proj_bias"] = nullptr;
  config["attn_cfg"]["out_proj_bias"] = true;
  config["attn_cfg"].erase("head_dim");
  config["attn_cfg"]["d_conv"] = 0;
  const ModelDescription model = Parse(config);
  EXPECT_EQ(model.trained_context, 8192);
  EXPECT_FALSE(model.layers[1].retrieves);
  EXPECT_THAT(model.end_tokens, ElementsAre(0));
  EXPECT_EQ(model.attention.kv_heads, 2);
  EXPECT_EQ(model.attention.head_dim, 8);
  EXPECT_TRUE(model.attention.bias);
  EXPECT_FALSE(model.attention.conv_bias);
}

TEST(Mamba2AttnTest, RefusesFieldsOutOfRange) {
  for (const char* path :
       {"/vocab_size", "/pad_vocab_size_multiple", "/d_model", "/n_layer", "/attn_cfg/num_heads",
        "/attn_cfg/num_heads_kv", "/attn_cfg/head_dim", "/ssm_cfg/headdim", "/ssm_cfg/ngroups",
        "/ssm_cfg/d_state", "/ssm_cfg/d_conv", "/eidetic_trained_context"}) {
    std::string field = path + 1;
    if (const size_t slash = field.find('/'); slash != std::string::npos) field[slash] = '.';
    for (const Json& bad : {Json(0), Json(-1), Json(int64_t{1} << 31), Json(UINT64_MAX), Json(1.5),
                            Json("7"), Json(true), Json::array({1})}) {
      EXPECT_THAT(RefusalWith(path, bad), HasSubstr(field + ": must be an integer in [1"));
    }
  }
}

TEST(Mamba2AttnTest, RefusesWhatItDoesNotCompute) {
  EXPECT_THAT(RefusalWith("/ssm_cfg", nullptr), HasSubstr("model_type: \"\" is not supported"));
  EXPECT_THAT(RefusalWith("/ssm_cfg", 3), HasSubstr("ssm_cfg: must be an object"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/layer", nullptr), HasSubstr("ssm_cfg.layer: must be"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/layer", "Mamba1"), HasSubstr("ssm_cfg.layer: must be"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/ngroups", 2), HasSubstr("ssm_cfg.ngroups: must be 1"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/rmsnorm", false), HasSubstr("ssm_cfg.rmsnorm"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/norm_before_gate", true), HasSubstr("ssm_cfg.norm_before"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/D_has_hdim", true), HasSubstr("ssm_cfg.D_has_hdim"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/d_ssm", 48), HasSubstr("ssm_cfg.d_ssm"));
  EXPECT_THAT(RefusalWith("/d_intermediate", 96), HasSubstr("d_intermediate: must be 0"));
  EXPECT_THAT(RefusalWith("/rms_norm", false), HasSubstr("rms_norm: must be true"));
  EXPECT_THAT(RefusalWith("/attn_cfg", nullptr), HasSubstr("attn_cfg.num_heads: is missing"));
  EXPECT_THAT(RefusalWith("/attn_cfg/causal", nullptr), HasSubstr("attn_cfg.causal: must be"));
  EXPECT_THAT(RefusalWith("/attn_cfg/mlp_dim", 256), HasSubstr("attn_cfg.mlp_dim: must be 0"));
  EXPECT_THAT(RefusalWith("/attn_cfg/softmax_scale", 0.1), HasSubstr("attn_cfg.softmax_scale"));
  EXPECT_THAT(RefusalWith("/attn_cfg/out_proj_bias", true), HasSubstr("attn_cfg.out_proj_bias"));
  EXPECT_THAT(RefusalWith("/attn_cfg/rotary_emb_interleaved", true),
              HasSubstr("attn_cfg.rotary_emb_interleaved: must be false"));
}

TEST(Mamba2AttnTest, RefusesDimensionsThatDoNotFitOneAnother) {
  EXPECT_THAT(RefusalWith("/attn_cfg/num_heads_kv", 4),
              HasSubstr("attn_cfg.num_heads_kv: must divide num_heads, 6"));
  EXPECT_THAT(RefusalWith("/attn_cfg/num_heads", 1 << 14), HasSubstr("attn_cfg.num_heads: times"));
  EXPECT_THAT(RefusalWith("/attn_cfg/rotary_emb_dim", 18),
              HasSubstr("attn_cfg.rotary_emb_dim: must be an integer in [0, 16]"));
  EXPECT_THAT(RefusalWith("/attn_cfg/rotary_emb_dim", 7), HasSubstr("must be even"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/headdim", 36),
              HasSubstr("ssm_cfg.expand: times d_model is 96"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/expand", 1e5), HasSubstr("ssm_cfg.expand: times d_model"));
  EXPECT_THAT(RefusalWith("/ssm_cfg/expand", 0), HasSubstr("ssm_cfg.expand: times d_model is 0"));
  EXPECT_THAT(RefusalWith("/attn_layer_idx", {4}), HasSubstr("attn_layer_idx: must be an integer"));
  EXPECT_THAT(RefusalWith("/attn_layer_idx", {1, 1}), HasSubstr("attn_layer_idx: must not name"));
  EXPECT_THAT(RefusalWith("/eidetic_retrieving_layers", {0}),
              HasSubstr("layer 0 is not one of attn_layer_idx"));
  Json config = SmallConfig();
  config["vocab_size"] = (1 << 20) - 1;
  config["pad_vocab_size_multiple"] = 1000;
  EXPECT_THAT(ParseModelConfigText(config.dump()).status().message(),
              HasSubstr("pad_vocab_size_multiple: pads vocab_size to 1049000"));
}

}  // namespace
}  // namespace eidetic
