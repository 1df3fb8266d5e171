#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "engine/model/families.h"

namespace eidetic {
namespace {

// These configs name no context; the published checkpoint was trained on sequences of so many
// tokens.
constexpr int32_t kDefaultTrainedContext = 2048;
// What mamba_ssm assumes where a config is silent.
constexpr double kDefaultRopeTheta = 10000.0;
constexpr int32_t kDefaultVocabMultiple = 8;
constexpr int32_t kDefaultState = 128;
constexpr int32_t kDefaultConv = 4;
constexpr int32_t kDefaultMambaHead = 64;

AttentionDescription DescribeAttention(ConfigReader config, int32_t d_model,
                                       const ModelLimits& limits) {
  AttentionDescription attention;
  attention.q_heads = config.Int("num_heads", 1, limits.max_dim);
  attention.kv_heads = config.IntOr("num_heads_kv", 1, attention.q_heads, attention.q_heads);
  config.Require(attention.q_heads % attention.kv_heads == 0, "num_heads_kv",
                 absl::StrCat("must divide num_heads, ", attention.q_heads));
  attention.head_dim = config.IntOr("head_dim", 1, limits.max_dim, d_model / attention.q_heads);
  config.Require(int64_t{attention.q_heads} * attention.head_dim <= limits.max_dim, "num_heads",
                 absl::StrCat("times head_dim must be at most ", limits.max_dim));
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.rotary_dim = config.IntOr("rotary_emb_dim", 0, attention.head_dim, 0);
  config.Require(attention.rotary_dim % 2 == 0, "rotary_emb_dim", "must be even");
  attention.rope_theta =
      static_cast<float>(config.NumberOr("rotary_emb_base", 1.0, kMaxRopeTheta, kDefaultRopeTheta));
  attention.conv_width = config.IntOr("d_conv", 0, limits.max_conv_width, 0);
  attention.conv_bias = attention.conv_width > 0;
  attention.bias = config.BoolOr("qkv_proj_bias", true);
  config.Require(config.BoolOr("out_proj_bias", true) == attention.bias, "out_proj_bias",
                 "must be what qkv_proj_bias is, true where absent");
  config.Require(config.BoolOr("causal", false), "causal", "must be true");
  config.Require(!config.BoolOr("rotary_emb_interleaved", false), "rotary_emb_interleaved",
                 "must be false");
  config.Require(!config.Has("softmax_scale"), "softmax_scale",
                 "must be absent; 1 / sqrt(head_dim) is used");
  config.Require(config.IntOr("mlp_dim", 0, limits.max_dim, 0) == 0, "mlp_dim",
                 "must be 0; an MLP within attention is not supported");
  return attention;
}

Mamba2Description DescribeMamba(ConfigReader config, int32_t d_model, const ModelLimits& limits) {
  config.Require(config.IsString("layer", "Mamba2"), "layer", "must be \"Mamba2\"");
  Mamba2Description mamba;
  mamba.head_dim = config.IntOr("headdim", 1, limits.max_dim, kDefaultMambaHead);
  const double expand = config.NumberOr("expand", 0.0, limits.max_dim, 2.0);
  const int64_t d_inner = static_cast<int64_t>(d_model * expand);
  const bool fits = d_inner >= 1 && d_inner <= limits.max_dim && d_inner % mamba.head_dim == 0;
  config.Require(fits, "expand",
                 absl::StrCat("times d_model is ", d_inner, "; must be a multiple of headdim, ",
                              mamba.head_dim, ", in [1, ", limits.max_dim, "]"));
  mamba.heads = fits ? static_cast<int32_t>(d_inner / mamba.head_dim) : 1;
  mamba.groups = config.IntOr("ngroups", 1, limits.max_dim, 1);
  config.Require(mamba.groups == 1, "ngroups", "must be 1; norms over groups are not supported");
  mamba.d_state = config.IntOr("d_state", 1, limits.max_dim, kDefaultState);
  mamba.conv_width = config.IntOr("d_conv", 1, limits.max_conv_width, kDefaultConv);
  mamba.conv_bias = config.BoolOr("conv_bias", true);
  mamba.proj_bias = config.BoolOr("bias", false);
  std::tie(mamba.dt_min, mamba.dt_max) =
      config.IntervalOr("dt_limit", {0.0f, std::numeric_limits<float>::infinity()});
  config.Require(config.BoolOr("rmsnorm", true), "rmsnorm", "must be true");
  config.Require(!config.BoolOr("norm_before_gate", false), "norm_before_gate", "must be false");
  config.Require(!config.BoolOr("D_has_hdim", false), "D_has_hdim", "must be false");
  config.Require(!config.Has("d_ssm"), "d_ssm", "must be absent");
  return mamba;
}

TensorNames Names(bool tied_embeddings) {
  TensorNames names;
  names.embedding = "backbone.embedding";
  names.final_norm = "backbone.norm_f";
  if (!tied_embeddings) names.lm_head = "lm_head";
  names.mixer_norm = "backbone.layers.{}.norm";
  names.in_proj = names.qkv = "backbone.layers.{}.mixer.in_proj";
  names.conv = names.qkv_conv = "backbone.layers.{}.mixer.conv1d";
  names.out_proj = names.o = "backbone.layers.{}.mixer.out_proj";
  names.dt_bias = "backbone.layers.{}.mixer.dt_bias";
  names.a_log = "backbone.layers.{}.mixer.A_log";
  names.d = "backbone.layers.{}.mixer.D";
  names.gated_norm = "backbone.layers.{}.mixer.norm";
  return names;
}

// The tables have rows up to the next multiple.
int32_t PaddedVocabSize(ConfigReader& config, const ModelLimits& limits) {
  const int32_t tokens = config.Int("vocab_size", 1, limits.max_vocab_size);
  const int32_t multiple =
      config.IntOr("pad_vocab_size_multiple", 1, limits.max_vocab_size, kDefaultVocabMultiple);
  const int64_t padded = (int64_t{tokens} + multiple - 1) / multiple * multiple;
  const bool fits = padded <= limits.max_vocab_size;
  config.Require(
      fits, "pad_vocab_size_multiple",
      absl::StrCat("pads vocab_size to ", padded, "; must be at most ", limits.max_vocab_size));
  return fits ? static_cast<int32_t>(padded) : tokens;
}

}  // namespace

ModelDescription DescribeMamba2Attn(ConfigReader& config, const ModelLimits& limits) {
  ModelDescription model;
  model.family = "mamba2attn";
  model.vocab_size = PaddedVocabSize(config, limits);
  model.d_model = config.Int("d_model", 1, limits.max_dim);
  model.tied_embeddings = config.BoolOr("tie_embeddings", true);
  model.trained_context =
      config.IntOr("eidetic_trained_context", 1, INT32_MAX, kDefaultTrainedContext);
  model.end_tokens = config.Ints("eos_token_id", 0, model.vocab_size - 1, limits.max_end_tokens);
  config.Require(config.IntOr("d_intermediate", 0, limits.max_dim, 0) == 0, "d_intermediate",
                 "must be 0; this family's MLP is not supported");
  config.Require(config.BoolOr("rms_norm", true), "rms_norm", "must be true");
  model.layers = DescribeLayers(config, "n_layer", "attn_layer_idx", limits);
  model.attention = DescribeAttention(config.Object("attn_cfg"), model.d_model, limits);
  model.mamba2 = DescribeMamba(config.Object("ssm_cfg"), model.d_model, limits);
  model.names = Names(model.tied_embeddings);
  return model;
}

}  // namespace eidetic
