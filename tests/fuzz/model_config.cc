// config.json of a model.
#include <glog/logging.h>

#include "engine/model/model_description.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {

std::vector<std::string> Seeds() {
  return {
      R"({"model_type": "bamba", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96,
 "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
 "rms_norm_eps": 1e-05, "eos_token_id": [0, 2], "max_position_embeddings": 2048,
 "attention_bias": false, "mlp_bias": false, "attn_layer_indices": [1, 3],
 "eidetic_retrieving_layers": [3], "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_n_groups": 1,
 "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": true,
 "mamba_proj_bias": false, "tie_word_embeddings": true, "partial_rotary_factor": 0.5,
 "rope_theta": 10000.0, "time_step_limit": [0.0, {"__float__": "Infinity"}],
 "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}})",
      R"({"d_model": 64, "d_intermediate": 0, "n_layer": 4, "vocab_size": 510,
 "ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 16, "ngroups": 1, "d_conv": 4},
 "attn_layer_idx": [1, 3], "attn_cfg": {"causal": true, "d_conv": 4, "head_dim": 16, "num_heads": 6,
 "num_heads_kv": 2, "out_proj_bias": false, "qkv_proj_bias": false, "rotary_emb_dim": 8},
 "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
 "pad_vocab_size_multiple": 16, "tie_embeddings": true, "eidetic_trained_context": 2048,
 "eos_token_id": 0})"};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const eidetic::ModelLimits limits;
  const auto model = eidetic::ParseModelConfigText(eidetic::fuzz::View(data, size), limits);
  if (!model.ok()) return 0;
  // What is accepted can be computed with.
  CHECK(eidetic::Validate(*model, limits).ok());
  const int64_t parameters = eidetic::ParameterCount(*model);
  CHECK(parameters > 0 && parameters <= limits.max_parameters) << parameters;
  const int64_t state = eidetic::StateElements(*model);
  CHECK(state >= 0 && state <= limits.max_state_elements) << state;
  return 0;
}
