#include "engine/model/model_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// A Bamba of three layers, nothing of which is a power of two.
Json SmallConfig() {
  return Json::parse(R"({
    "model_type": "bamba", "vocab_size": 97, "hidden_size": 40, "intermediate_size": 56,
    "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 12,
    "hidden_act": "silu", "rms_norm_eps": 1e-05, "eos_token_id": 2,
    "max_position_embeddings": 512, "attention_bias": false, "mlp_bias": false,
    "attn_layer_indices": [1], "mamba_n_heads": 5, "mamba_d_head": 16, "mamba_n_groups": 1,
    "mamba_d_state": 12, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": true,
    "mamba_proj_bias": false, "tie_word_embeddings": false, "z_loss_coefficient": 0.0})");
}

ModelDescription Parse(const Json& config) {
  const auto model = ParseModelConfigText(config.dump());
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : ModelDescription{};
}

// The message with which the small config is refused once `key` is `value`.
std::string RefusalWith(const std::string& key, const Json& value) {
  Json config = SmallConfig();
  config[key] = value;
  const auto model = ParseModelConfigText(config.dump());
  EXPECT_FALSE(model.ok()) << key << " = " << value;
  return std::string(model.status().message());
}

TEST(ModelDescriptionTest, ReadsBamba) {
  const ModelDescription model = Parse(SmallConfig());
  EXPECT_EQ(model.family, "bamba");
  EXPECT_EQ(model.vocab_size, 97);
  EXPECT_EQ(model.d_model, 40);
  EXPECT_EQ(model.mlp_dim, 56);
  EXPECT_FLOAT_EQ(model.norm_eps, 1e-5f);
  EXPECT_EQ(model.trained_context, 512);
  EXPECT_FALSE(model.tied_embeddings);
  EXPECT_THAT(model.end_tokens, ElementsAre(2));
  EXPECT_EQ(model.attention_layers(), 1);
  EXPECT_EQ(model.mamba_layers(), 2);
  EXPECT_EQ(model.layers[1].mixer, MixerKind::kAttention);
  EXPECT_TRUE(model.layers[1].retrieves);
  EXPECT_FALSE(model.layers[0].retrieves);
  EXPECT_EQ(model.attention.rotary_dim, 6);
  EXPECT_FLOAT_EQ(model.attention.rope_theta, 10000.0f);
  EXPECT_FLOAT_EQ(model.attention.scale, 1.0f / std::sqrt(12.0f));
  EXPECT_EQ(model.mamba2.in_proj_rows(), 80 + (80 + 2 * 12) + 5);
  EXPECT_EQ(model.mamba2.dt_min, 0.0f);
  EXPECT_EQ(model.mamba2.dt_max, std::numeric_limits<float>::infinity());
  EXPECT_EQ(StateElements(model), 2 * (80 * 12 + 104 * 3));
}

TEST(ModelDescriptionTest, NamesTensorsAsHuggingFaceDoes) {
  const ModelDescription model = Parse(SmallConfig());
  EXPECT_EQ(TensorName(model.names.in_proj, 12), "model.layers.12.mamba.in_proj");
  EXPECT_EQ(TensorName(model.names.a_log, 0), "model.layers.0.mamba.A_log");
  EXPECT_EQ(TensorName(model.names.final_norm, 3), "model.final_layernorm");
  EXPECT_EQ(model.names.lm_head, "lm_head");
  Json tied = SmallConfig();
  tied["tie_word_embeddings"] = true;
  EXPECT_EQ(Parse(tied).names.lm_head, "");
}

TEST(ModelDescriptionTest, FillsInWhatAConfigLeavesOut) {
  Json config = SmallConfig();
  for (const char* key : {"head_dim", "mamba_d_head", "eos_token_id", "attn_layer_indices",
                          "rms_norm_eps", "tie_word_embeddings", "mamba_conv_bias"}) {
    config[key] = nullptr;
  }
  const ModelDescription model = Parse(config);
  EXPECT_EQ(model.attention.head_dim, 40 / 6);
  EXPECT_EQ(model.mamba2.head_dim, 16);
  EXPECT_TRUE(model.mamba2.conv_bias);
  EXPECT_TRUE(model.end_tokens.empty());
  EXPECT_EQ(model.attention_layers(), 0);
  config["mamba_d_head"] = "auto";
  EXPECT_EQ(Parse(config).mamba2.head_dim, 16);
}

TEST(ModelDescriptionTest, RopeParametersGoBeforeTopLevelFields) {
  Json config = SmallConfig();
  config["rope_theta"] = 5000;
  config["partial_rotary_factor"] = 1.0;
  EXPECT_EQ(Parse(config).attention.rotary_dim, 12);
  EXPECT_FLOAT_EQ(Parse(config).attention.rope_theta, 5000.0f);
  config["rope_parameters"] = {
      {"rope_type", "default"}, {"rope_theta", 1e6}, {"partial_rotary_factor", 0.0}};
  EXPECT_EQ(Parse(config).attention.rotary_dim, 0);
  EXPECT_FLOAT_EQ(Parse(config).attention.rope_theta, 1e6f);
}

TEST(ModelDescriptionTest, ReadsTimeStepLimits) {
  Json config = SmallConfig();
  config["time_step_limit"] = {0.01, 2};
  EXPECT_FLOAT_EQ(Parse(config).mamba2.dt_min, 0.01f);
  EXPECT_FLOAT_EQ(Parse(config).mamba2.dt_max, 2.0f);
  config["time_step_limit"] = Json::parse(R"([0.0, {"__float__": "Infinity"}])");
  EXPECT_EQ(Parse(config).mamba2.dt_max, std::numeric_limits<float>::infinity());
}

TEST(ModelDescriptionTest, ReadsSeveralEndTokensAndRetrievingLayers) {
  Json config = SmallConfig();
  config["eos_token_id"] = {3, 0};
  config["attn_layer_indices"] = {0, 2};
  config["eidetic_retrieving_layers"] = {2};
  ModelDescription model = Parse(config);
  EXPECT_THAT(model.end_tokens, ElementsAre(3, 0));
  EXPECT_FALSE(model.layers[0].retrieves);
  EXPECT_TRUE(model.layers[2].retrieves);
  config["eidetic_retrieving_layers"] = Json::array();
  EXPECT_FALSE(Parse(config).layers[2].retrieves);
}

TEST(ModelDescriptionTest, RefusesFieldsOutOfRange) {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings",
        "mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv"}) {
    for (const Json& bad :
         {Json(0), Json(-1), Json(int64_t{1} << 31), Json(INT64_MIN), Json(UINT64_MAX), Json(1e300),
          Json(1.5), Json("7"), Json(true), Json::array({1}), Json::object()}) {
      EXPECT_THAT(RefusalWith(key, bad),
                  HasSubstr(std::string(key) + ": must be an integer in [1"));
    }
  }
}

TEST(ModelDescriptionTest, RefusesMissingDimensions) {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "mamba_n_heads", "mamba_d_state"}) {
    EXPECT_THAT(RefusalWith(key, nullptr), HasSubstr(std::string(key) + ": is missing"));
  }
}

TEST(ModelDescriptionTest, RefusesWhatItDoesNotCompute) {
  EXPECT_THAT(RefusalWith("model_type", "llama"), HasSubstr("model_type: \"llama\" is not"));
  EXPECT_THAT(RefusalWith("model_type", nullptr), HasSubstr("must be one of: bamba"));
  EXPECT_THAT(RefusalWith("model_type", 7), HasSubstr("model_type: must be a string"));
  EXPECT_THAT(RefusalWith("hidden_act", "gelu"), HasSubstr("hidden_act: must be \"silu\""));
  EXPECT_THAT(RefusalWith("mlp_bias", true), HasSubstr("mlp_bias: must be false"));
  EXPECT_THAT(RefusalWith("mlp_bias", 1), HasSubstr("mlp_bias: must be true or false"));
  EXPECT_THAT(RefusalWith("rope_parameters", {{"rope_type", "yarn"}}),
              HasSubstr("rope_parameters.rope_type: must be \"default\""));
  EXPECT_THAT(RefusalWith("rope_scaling", {{"type", "linear"}, {"factor", 2}}),
              HasSubstr("rope_scaling.type: must be \"default\""));
  EXPECT_THAT(RefusalWith("rope_parameters", 3), HasSubstr("rope_parameters: must be an object"));
}

TEST(ModelDescriptionTest, RefusesDimensionsThatDoNotFitOneAnother) {
  EXPECT_THAT(RefusalWith("num_key_value_heads", 4),
              HasSubstr("num_key_value_heads is 4; must divide"));
  EXPECT_THAT(RefusalWith("num_key_value_heads", 12), HasSubstr("num_key_value_heads is 12"));
  EXPECT_THAT(RefusalWith("mamba_expand", 3), HasSubstr("mamba_expand: times hidden_size is 120"));
  EXPECT_THAT(RefusalWith("mamba_n_groups", 2), HasSubstr("mamba_n_groups is 2; must divide"));
  EXPECT_THAT(RefusalWith("partial_rotary_factor", 0.25),
              HasSubstr("partial_rotary_factor must be even"));
  EXPECT_THAT(RefusalWith("attn_layer_indices", {3}), HasSubstr("attn_layer_indices: must be"));
  EXPECT_THAT(RefusalWith("attn_layer_indices", {1, 1}), HasSubstr("attn_layer_indices: must not"));
  EXPECT_THAT(RefusalWith("attn_layer_indices", {0, 1, 2, 0}), HasSubstr("at most 3 entries"));
  EXPECT_THAT(RefusalWith("eidetic_retrieving_layers", {0}),
              HasSubstr("eidetic_retrieving_layers: layer 0 is not one of attn_layer_indices"));
  EXPECT_THAT(RefusalWith("eos_token_id", 97),
              HasSubstr("eos_token_id: must be an integer in [0, 96]"));
  EXPECT_THAT(RefusalWith("eos_token_id", "2"), HasSubstr("eos_token_id"));
}

TEST(ModelDescriptionTest, RefusesNumbersThatAreNone) {
  EXPECT_THAT(RefusalWith("rms_norm_eps", -1e-5), HasSubstr("rms_norm_eps: must be a number in"));
  EXPECT_THAT(RefusalWith("rope_theta", 0), HasSubstr("rope_theta: must be a number in"));
  EXPECT_THAT(RefusalWith("rope_theta", 1e300), HasSubstr("rope_theta: must be a number in"));
  EXPECT_THAT(RefusalWith("partial_rotary_factor", 1.5), HasSubstr("partial_rotary_factor"));
  for (const char* bad : {"[1]", "[1,0]", "[-1,1]", "[\"a\",1]", "{}", "1", "[1,2,3]",
                          R"([{"__float__":"Infinity"},1])", R"([0,{"__float__":"NaN"}])"}) {
    EXPECT_THAT(RefusalWith("time_step_limit", Json::parse(bad)), HasSubstr("time_step_limit: "));
  }
  for (const char* bad : {R"({"rope_theta": NaN})", R"({"rope_theta": 1e999})", "", "[]", "7",
                          R"({"model_type": "bamba")"}) {
    EXPECT_FALSE(ParseModelConfigText(bad).ok()) << bad;
  }
}

TEST(ModelDescriptionTest, BoundsSizeAndDepth) {
  EXPECT_THAT(ParseModelConfigText(std::string(2 << 20, ' ')).status().message(),
              HasSubstr("exceed the limit of 1048576"));
  EXPECT_THAT(ParseModelConfigText(std::string(1 << 19, '[')).status().message(),
              HasSubstr("nests deeper than 16"));
  Json brackets = SmallConfig();
  brackets["note"] = std::string(100, '[') + "\\\"" + std::string(100, '{');
  Parse(brackets);
}

TEST(ModelDescriptionTest, BoundsWhatAModelAsksFor) {
  ModelLimits limits;
  limits.max_parameters = ParameterCount(Parse(SmallConfig())) - 1;
  EXPECT_THAT(ParseModelConfigText(SmallConfig().dump(), limits).status().message(),
              HasSubstr("number of parameters"));
  Json config = SmallConfig();
  config["mamba_d_state"] = 1 << 17;
  config["hidden_size"] = 1 << 14;
  config["mamba_n_heads"] = 1 << 15;
  config["mamba_d_head"] = 1;
  EXPECT_THAT(ParseModelConfigText(config.dump()).status().message(),
              HasSubstr("elements of state"));
  config["mamba_n_groups"] = 2;
  EXPECT_THAT(ParseModelConfigText(config.dump()).status().message(),
              HasSubstr("mamba_n_groups * mamba_d_state is 262144"));
}

TEST(ModelDescriptionTest, ValidateRefusesWhatNoConfigCanSay) {
  ModelDescription model = Parse(SmallConfig());
  EXPECT_TRUE(Validate(model, {}).ok());
  model.layers[0].retrieves = true;
  EXPECT_THAT(Validate(model, {}).message(), HasSubstr("retrieving layers"));
  model = Parse(SmallConfig());
  model.multipliers.residual = std::nanf("");
  EXPECT_THAT(Validate(model, {}).message(), HasSubstr("residual multiplier"));
  model = Parse(SmallConfig());
  model.mamba2.dt_max = std::nanf("");
  EXPECT_THAT(Validate(model, {}).message(), HasSubstr("time_step_limit"));
  model = Parse(SmallConfig());
  model.attention.scale = 0;
  EXPECT_THAT(Validate(model, {}).message(), HasSubstr("attention scale"));
}

TEST(ModelDescriptionTest, SurvivesMutations) {
  const std::string good = SmallConfig().dump();
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bad = good;
    if (round % 4 == 0) bad.resize(random() % good.size());
    for (uint32_t edits = random() % 5; edits > 0 && !bad.empty(); --edits) {
      const char digits[] = "0123456789-.e\"[]{}";
      const bool digit = random() % 2 == 0;
      bad[random() % bad.size()] =
          digit ? digits[random() % (sizeof(digits) - 1)] : static_cast<char>(random());
    }
    const auto model = ParseModelConfigText(bad);
    if (model.ok()) {
      EXPECT_TRUE(Validate(*model, {}).ok());
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace eidetic
