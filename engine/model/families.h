// The model families that Eidetic knows: each turns a config.json into a
// ModelDescription.
//
// Thread safety: pure functions. Ownership: values. Preconditions: none.
// A new family is one function here and one row in model_description.cc.
#ifndef EIDETIC_ENGINE_MODEL_FAMILIES_H_
#define EIDETIC_ENGINE_MODEL_FAMILIES_H_

#include "engine/model/config_reader.h"
#include "engine/model/model_description.h"

namespace eidetic {

// Reads the fields of its family from `config`, whose status takes the errors.
// Every integer is within `limits` before it is computed with.
using DescribeFamily = ModelDescription (*)(ConfigReader& config, const ModelLimits& limits);

// Bamba, as in Hugging Face transformers (BambaConfig, BambaForCausalLM).
ModelDescription DescribeBamba(ConfigReader& config, const ModelLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_FAMILIES_H_
