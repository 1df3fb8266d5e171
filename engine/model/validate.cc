#include <glog/logging.h>

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/model/model_description.h"

namespace eidetic {
namespace {

// Products of three dimensions and their sums stay within 64 bits below this.
constexpr int32_t kMaxDimCeiling = 1 << 20;

// Gathers the first complaint. Fields go by the names that config.json files use.
class Checker {
 public:
  void InRange(std::string_view field, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    Complain(field, absl::StrCat("is ", value, "; must be in [", low, ", ", high, "]"));
  }

  void Divides(std::string_view divisor_field, int32_t divisor, std::string_view field,
               int32_t value) {
    if (divisor > 0 && value % divisor == 0) return;
    Complain(divisor_field,
             absl::StrCat("is ", divisor, "; must divide ", std::string(field), ", ", value));
  }

  void Positive(std::string_view field, float value) {
    if (std::isfinite(value) && value > 0) return;
    Complain(field, absl::StrCat("is ", value, "; must be positive and finite"));
  }

  void True(bool ok, std::string_view field, std::string_view reason) {
    if (!ok) Complain(field, reason);
  }

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  void Complain(std::string_view field, std::string_view reason) {
    status_.Update(absl::InvalidArgumentError(
        absl::StrCat("model: ", std::string(field), " ", std::string(reason))));
  }

  absl::Status status_;
};

void CheckAttention(const AttentionDescription& attention, const ModelLimits& limits,
                    Checker& check) {
  check.InRange("num_attention_heads", attention.q_heads, 1, limits.max_dim);
  check.InRange("num_key_value_heads", attention.kv_heads, 1, limits.max_dim);
  check.InRange("head_dim", attention.head_dim, 1, limits.max_dim);
  check.InRange("num_attention_heads * head_dim", int64_t{attention.q_heads} * attention.head_dim,
                1, limits.max_dim);
  check.Divides("num_key_value_heads", attention.kv_heads, "num_attention_heads",
                attention.q_heads);
  check.InRange("head_dim * partial_rotary_factor", attention.rotary_dim, 0, attention.head_dim);
  check.True(attention.rotary_dim % 2 == 0, "head_dim * partial_rotary_factor", "must be even");
  check.Positive("rope_theta", attention.rope_theta);
  check.Positive("attention scale", attention.scale);
  check.InRange("attention convolution width", attention.conv_width, 0, limits.max_conv_width);
  check.True(!attention.conv_bias || attention.conv_width > 0, "attention convolution bias",
             "must come with a convolution");
}

void CheckMamba(const Mamba2Description& mamba, const ModelLimits& limits, Checker& check) {
  check.InRange("mamba_n_heads", mamba.heads, 1, limits.max_dim);
  check.InRange("mamba_d_head", mamba.head_dim, 1, limits.max_dim);
  check.InRange("mamba_n_groups", mamba.groups, 1, limits.max_dim);
  check.InRange("mamba_d_state", mamba.d_state, 1, limits.max_dim);
  check.InRange("mamba_d_conv", mamba.conv_width, 1, limits.max_conv_width);
  check.InRange("mamba_n_heads * mamba_d_head", int64_t{mamba.heads} * mamba.head_dim, 1,
                limits.max_dim);
  check.InRange("mamba_n_groups * mamba_d_state", int64_t{mamba.groups} * mamba.d_state, 1,
                limits.max_dim);
  check.Divides("mamba_n_groups", mamba.groups, "mamba_n_heads", mamba.heads);
  check.True(std::isfinite(mamba.dt_min) && mamba.dt_min >= 0 && mamba.dt_max >= mamba.dt_min,
             "time_step_limit", "must be [low, high] with 0 <= low <= high");
}

void CheckLayers(const ModelDescription& model, const ModelLimits& limits, Checker& check) {
  check.InRange("num_hidden_layers", model.layers.size(), 1, limits.max_layers);
  for (const LayerDescription& layer : model.layers) {
    check.True(!layer.retrieves || layer.mixer == MixerKind::kAttention, "retrieving layers",
               "must be attention layers");
  }
}

void CheckWhole(const ModelDescription& model, const ModelLimits& limits, Checker& check) {
  check.InRange("vocab_size", model.vocab_size, 1, limits.max_vocab_size);
  check.InRange("hidden_size", model.d_model, 1, limits.max_dim);
  check.InRange("intermediate_size", model.mlp_dim, 0, limits.max_dim);
  check.InRange("max_position_embeddings", model.trained_context, 1, INT32_MAX);
  check.True(std::isfinite(model.norm_eps) && model.norm_eps >= 0, "rms_norm_eps",
             "must be finite and not negative");
  check.Positive("embedding multiplier", model.multipliers.embedding);
  check.Positive("residual multiplier", model.multipliers.residual);
  check.Positive("logits multiplier", model.multipliers.logits);
  check.InRange("eos_token_id count", model.end_tokens.size(), 0, limits.max_end_tokens);
  for (const memory::TokenId token : model.end_tokens) {
    check.InRange("eos_token_id", token, 0, int64_t{model.vocab_size} - 1);
  }
  check.True(model.tied_embeddings == model.names.lm_head.empty(), "tie_word_embeddings",
             "must be false exactly when there is an output head");
}

}  // namespace

absl::Status Validate(const ModelDescription& model, const ModelLimits& limits) {
  CHECK_LE(limits.max_dim, kMaxDimCeiling);
  Checker check;
  CheckWhole(model, limits, check);
  CheckLayers(model, limits, check);
  if (model.attention_layers() > 0) CheckAttention(model.attention, limits, check);
  if (model.mamba_layers() > 0) CheckMamba(model.mamba2, limits, check);
  // The counts below multiply what has just been bounded.
  if (!check.ok()) return check.status();
  check.InRange("number of parameters", ParameterCount(model), 1, limits.max_parameters);
  check.InRange("elements of state", StateElements(model), 0, limits.max_state_elements);
  return check.status();
}

}  // namespace eidetic
