// What a hybrid model is made of: a family is a description, not a code path.
//
// Thread safety: plain values. Ownership: values. Preconditions: a
//   description returned by ParseModelConfig has passed Validate.
#ifndef EIDETIC_ENGINE_MODEL_MODEL_DESCRIPTION_H_
#define EIDETIC_ENGINE_MODEL_MODEL_DESCRIPTION_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/ids.h"

namespace eidetic {

enum class MixerKind : uint8_t { kMamba2, kAttention };

// Attention of one kind for all attention layers.
struct AttentionDescription {
  int32_t q_heads = 0;
  int32_t kv_heads = 0;    // divides q_heads
  int32_t head_dim = 0;    // explicit: need not be d_model / q_heads
  int32_t rotary_dim = 0;  // first rotary_dim channels of a head turn, half-split pairs (i, i +
                           // rotary_dim/2); even; 0 = none
  float rope_theta = 10000.0f;
  float scale = 0.0f;      // softmax scale, 1/sqrt(head_dim) unless the config says otherwise
  int32_t conv_width = 0;  // causal depthwise convolution on q, k and v after projection; 0 = none
  bool conv_bias = false;  // only with a convolution
  bool bias = false;       // on q, k, v, o projections
};

// Mamba-2 (Dao & Gu, 2024), all Mamba layers alike.
struct Mamba2Description {
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t groups = 0;  // B and C are shared by heads / groups heads
  int32_t d_state = 0;
  int32_t conv_width = 0;
  bool conv_bias = true;
  bool proj_bias = false;
  float dt_min = 0.0f;  // softplus(dt + bias) is clamped to [dt_min, dt_max]
  float dt_max = 0.0f;  // +infinity when the config sets none

  int32_t d_inner() const { return heads * head_dim; }
  int32_t conv_channels() const { return d_inner() + 2 * groups * d_state; }
  // in_proj's rows: [gate d_inner | x, B, C conv_channels | dt heads].
  int32_t in_proj_rows() const { return d_inner() + conv_channels() + heads; }
};

struct LayerDescription {
  MixerKind mixer = MixerKind::kMamba2;
  bool retrieves = false;  // attention only: pulls an expansion span
};

// Scalars by which some families multiply; 1 leaves things as they are.
struct Multipliers {
  float embedding = 1.0f;
  float residual = 1.0f;
  float logits = 1.0f;
};

// Tensor names; "{}" stands for the layer's number, and ".weight" or ".bias" follows
// (dt_bias, a_log and d stand alone). Empty means that the model has none. A model whose q, k and
// v are one tensor, stacked by rows in this order, names `qkv` and none of the three.
struct TensorNames {
  std::string embedding, final_norm, lm_head;
  std::string mixer_norm, mlp_norm;
  std::string q, k, v, qkv, o, qkv_conv;
  std::string in_proj, conv, dt_bias, a_log, d, gated_norm, out_proj;
  std::string gate, up, down;
};

struct ModelDescription {
  std::string family;  // "bamba", "mamba2attn"
  int32_t vocab_size = 0;
  int32_t d_model = 0;
  int32_t mlp_dim = 0;  // 0: layers have no MLP
  float norm_eps = 1e-5f;
  bool tied_embeddings = false;
  int32_t trained_context = 0;  // max_position_embeddings
  std::vector<memory::TokenId> end_tokens;
  std::vector<LayerDescription> layers;
  AttentionDescription attention;
  Mamba2Description mamba2;
  Multipliers multipliers;
  TensorNames names;

  int32_t attention_layers() const;
  int32_t mamba_layers() const;
};

// Bounds on what a config.json may ask of us.
struct ModelLimits {
  int64_t max_config_bytes = 1 << 20;
  int32_t max_layers = 1024;
  int32_t max_dim = 1 << 17;  // any single dimension: d_model, mlp_dim, heads, ...
  int32_t max_vocab_size = 1 << 20;
  int32_t max_conv_width = 64;
  int32_t max_end_tokens = 64;
  int64_t max_parameters = int64_t{1} << 40;
  // SSM and convolution state of one session, over all layers.
  int64_t max_state_elements = int64_t{1} << 30;
};

// Reads `folder`/config.json. Errors: NOT_FOUND; INVALID_ARGUMENT naming the
// field and the remedy (unknown model_type, activation other than silu,
// dimensions that overflow or do not fit one another).
absl::StatusOr<ModelDescription> ParseModelConfig(const std::filesystem::path& folder,
                                                  const ModelLimits& limits = {});
// The same from a config file of any name.
absl::StatusOr<ModelDescription> ParseModelConfigFile(const std::filesystem::path& path,
                                                      const ModelLimits& limits = {});
// The same from the text of a config.json.
absl::StatusOr<ModelDescription> ParseModelConfigText(std::string_view json,
                                                      const ModelLimits& limits = {});
// INVALID_ARGUMENT unless dimensions fit one another and the limits.
absl::Status Validate(const ModelDescription& description, const ModelLimits& limits);

// Elements of all weights that the description asks for.
int64_t ParameterCount(const ModelDescription& description);
// Elements of the recurrent and convolution state of one session, all layers.
int64_t StateElements(const ModelDescription& description);

// `pattern` with "{}" replaced by `layer`.
std::string TensorName(std::string_view pattern, int32_t layer);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_MODEL_DESCRIPTION_H_
