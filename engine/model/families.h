// The model families that Eidetic knows: each turns a config.json into a
// ModelDescription.
//
// Thread safety: pure functions. Ownership: values. Preconditions: none.
// A new family is one function here and one row in model_description.cc.
#ifndef EIDETIC_ENGINE_MODEL_FAMILIES_H_
#define EIDETIC_ENGINE_MODEL_FAMILIES_H_

#include <string_view>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/model_description.h"

namespace eidetic {

inline constexpr double kMaxRopeTheta = 1e12;

// Reads the fields of its family from `config`, whose status takes the errors.
// Every integer is within `limits` before it is computed with.
using DescribeFamily = ModelDescription (*)(ConfigReader& config, const ModelLimits& limits);

// Bamba, as in Hugging Face transformers (BambaConfig, BambaForCausalLM).
ModelDescription DescribeBamba(ConfigReader& config, const ModelLimits& limits);

// Mamba-2 with attention layers, as in the mamba_ssm package (MambaConfig, MambaLMHeadModel):
// state-spaces/mamba2attn-2.7b. Such configs have no model_type: they are known by ssm_cfg.
// Beside their fields, which name neither, "eidetic_trained_context" (2048 where absent) and
// "eos_token_id" are read.
ModelDescription DescribeMamba2Attn(ConfigReader& config, const ModelLimits& limits);

// What all families share: `count_key` layers, those that `attention_key` lists with attention,
// of which eidetic_retrieving_layers (all of them where absent) retrieve.
std::vector<LayerDescription> DescribeLayers(ConfigReader& config, std::string_view count_key,
                                             std::string_view attention_key,
                                             const ModelLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_FAMILIES_H_
