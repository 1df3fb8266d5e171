#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/model/families.h"

namespace eidetic {
namespace {

constexpr double kDefaultRopeTheta = 10000.0;
// BambaConfig turns half of each head unless the config says otherwise.
constexpr double kDefaultPartialRotary = 0.5;

AttentionDescription DescribeAttention(ConfigReader& config, int32_t d_model,
                                       const ModelLimits& limits) {
  AttentionDescription attention;
  attention.q_heads = config.Int("num_attention_heads", 1, limits.max_dim);
  attention.kv_heads = config.Int("num_key_value_heads", 1, limits.max_dim);
  attention.head_dim = config.IntOr("head_dim", 1, limits.max_dim, d_model / attention.q_heads);
  attention.bias = config.BoolOr("attention_bias", false);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));

  ConfigReader rope = config.Object("rope_parameters");
  ConfigReader scaling = config.Object("rope_scaling");  // what older configs call it
  for (const char* key : {"rope_type", "type"}) {
    rope.Require(rope.StringOr(key, "default") == "default", key, "must be \"default\"");
    scaling.Require(scaling.StringOr(key, "default") == "default", key, "must be \"default\"");
  }
  attention.rope_theta = static_cast<float>(
      rope.NumberOr("rope_theta", 1.0, kMaxRopeTheta,
                    config.NumberOr("rope_theta", 1.0, kMaxRopeTheta, kDefaultRopeTheta)));
  // rope_parameters goes first: transformers writes a top-level 0.5 whatever the model has.
  const double turned =
      rope.NumberOr("partial_rotary_factor", 0.0, 1.0,
                    config.NumberOr("partial_rotary_factor", 0.0, 1.0, kDefaultPartialRotary));
  attention.rotary_dim = static_cast<int32_t>(attention.head_dim * turned);
  return attention;
}

Mamba2Description DescribeMamba(ConfigReader& config, int32_t d_model, const ModelLimits& limits) {
  Mamba2Description mamba;
  mamba.heads = config.Int("mamba_n_heads", 1, limits.max_dim);
  const double expand = config.NumberOr("mamba_expand", 0.0, limits.max_dim, 2.0);
  const int64_t d_inner = static_cast<int64_t>(d_model * expand);
  const bool derived = !config.Has("mamba_d_head") || config.IsString("mamba_d_head", "auto");
  mamba.head_dim =
      derived ? static_cast<int32_t>(std::min<int64_t>(d_inner / mamba.heads, limits.max_dim))
              : config.Int("mamba_d_head", 1, limits.max_dim);
  const int64_t heads_times_dim = int64_t{mamba.heads} * mamba.head_dim;
  config.Require(heads_times_dim == d_inner, "mamba_expand",
                 absl::StrCat("times hidden_size is ", d_inner,
                              ", but mamba_n_heads * mamba_d_head is ", heads_times_dim));
  mamba.groups = config.Int("mamba_n_groups", 1, limits.max_dim);
  mamba.d_state = config.Int("mamba_d_state", 1, limits.max_dim);
  mamba.conv_width = config.Int("mamba_d_conv", 1, limits.max_conv_width);
  mamba.conv_bias = config.BoolOr("mamba_conv_bias", true);
  mamba.proj_bias = config.BoolOr("mamba_proj_bias", false);
  std::tie(mamba.dt_min, mamba.dt_max) =
      config.IntervalOr("time_step_limit", {0.0f, std::numeric_limits<float>::infinity()});
  return mamba;
}

TensorNames Names(bool tied_embeddings) {
  TensorNames names;
  names.embedding = "model.embed_tokens";
  names.final_norm = "model.final_layernorm";
  if (!tied_embeddings) names.lm_head = "lm_head";
  names.mixer_norm = "model.layers.{}.input_layernorm";
  names.mlp_norm = "model.layers.{}.pre_ff_layernorm";
  names.dt_bias = "model.layers.{}.mamba.dt_bias";
  names.a_log = "model.layers.{}.mamba.A_log";
  names.d = "model.layers.{}.mamba.D";
  names.gated_norm = "model.layers.{}.mamba.norm";
  names.gate = "model.layers.{}.feed_forward.gate_proj";
  names.up = "model.layers.{}.feed_forward.up_proj";
  names.down = "model.layers.{}.feed_forward.down_proj";
  names.q = "model.layers.{}.self_attn.q_proj";
  names.k = "model.layers.{}.self_attn.k_proj";
  names.v = "model.layers.{}.self_attn.v_proj";
  names.o = "model.layers.{}.self_attn.o_proj";
  names.in_proj = "model.layers.{}.mamba.in_proj";
  names.conv = "model.layers.{}.mamba.conv1d";
  names.out_proj = "model.layers.{}.mamba.out_proj";
  return names;
}

}  // namespace

ModelDescription DescribeBamba(ConfigReader& config, const ModelLimits& limits) {
  ModelDescription model;
  model.family = "bamba";
  model.vocab_size = config.Int("vocab_size", 1, limits.max_vocab_size);
  model.d_model = config.Int("hidden_size", 1, limits.max_dim);
  model.mlp_dim = config.Int("intermediate_size", 1, limits.max_dim);
  model.norm_eps = static_cast<float>(config.NumberOr("rms_norm_eps", 0.0, 1.0, 1e-5));
  model.tied_embeddings = config.BoolOr("tie_word_embeddings", false);
  model.trained_context = config.Int("max_position_embeddings", 1, INT32_MAX);
  model.end_tokens = config.Ints("eos_token_id", 0, model.vocab_size - 1, limits.max_end_tokens);
  config.Require(config.StringOr("hidden_act", "silu") == "silu", "hidden_act", "must be \"silu\"");
  config.Require(!config.BoolOr("mlp_bias", false), "mlp_bias",
                 "must be false; biases in the MLP are not supported");
  model.layers = DescribeLayers(config, "num_hidden_layers", "attn_layer_indices", limits);
  model.attention = DescribeAttention(config, model.d_model, limits);
  model.mamba2 = DescribeMamba(config, model.d_model, limits);
  model.names = Names(model.tied_embeddings);
  return model;
}

}  // namespace eidetic
