#include "engine/model/model_description.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/model/config_reader.h"
#include "engine/model/families.h"
#include "engine/model/json_events.h"
#include "engine/model/mapped_file.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr int kMaxConfigDepth = 16;

struct Family {
  std::string_view model_type;
  DescribeFamily describe;
};

constexpr Family kFamilies[] = {
    {"bamba", &DescribeBamba},
    {"mamba2attn", &DescribeMamba2Attn},
};

absl::StatusOr<const Family*> FindFamily(std::string_view model_type) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return &family;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(family.model_type));
  }
  return absl::InvalidArgumentError(absl::StrCat("config.json: model_type: ", Quoted(model_type),
                                                 " is not supported; must be one of: ", known));
}

absl::StatusOr<nlohmann::json> ParseTree(std::string_view json, const ModelLimits& limits) {
  if (json.size() > static_cast<size_t>(limits.max_config_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "config.json: ", json.size(), " bytes exceed the limit of ", limits.max_config_bytes));
  }
  if (NestsDeeperThan(json, kMaxConfigDepth)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: nests deeper than ", kMaxConfigDepth));
  }
  auto tree = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!tree.is_object()) {
    return absl::InvalidArgumentError(
        "config.json: must be one JSON object (NaN and Infinity are not JSON)");
  }
  return tree;
}

int64_t AttentionParameters(const ModelDescription& model) {
  const AttentionDescription& attention = model.attention;
  const int64_t q = int64_t{attention.q_heads} * attention.head_dim;
  const int64_t kv = int64_t{attention.kv_heads} * attention.head_dim;
  const int64_t bias = attention.bias ? q + 2 * kv + model.d_model : 0;
  const int64_t conv = (q + 2 * kv) * (attention.conv_width + attention.conv_bias);
  return (2 * q + 2 * kv) * model.d_model + conv + bias;
}

int64_t MambaParameters(const ModelDescription& model) {
  const Mamba2Description& mamba = model.mamba2;
  const int64_t rows = mamba.in_proj_rows();
  const int64_t conv = int64_t{mamba.conv_channels()} * (mamba.conv_width + mamba.conv_bias);
  const int64_t bias = mamba.proj_bias ? rows + model.d_model : 0;
  return (rows + mamba.d_inner()) * model.d_model + conv + bias + mamba.d_inner() +
         3 * int64_t{mamba.heads};
}

int32_t CountLayers(const ModelDescription& model, MixerKind kind) {
  return std::count_if(model.layers.begin(), model.layers.end(),
                       [kind](const LayerDescription& layer) { return layer.mixer == kind; });
}

}  // namespace

int32_t ModelDescription::attention_layers() const {
  return CountLayers(*this, MixerKind::kAttention);
}

int32_t ModelDescription::mamba_layers() const { return CountLayers(*this, MixerKind::kMamba2); }

absl::StatusOr<ModelDescription> ParseModelConfig(const std::filesystem::path& folder,
                                                  const ModelLimits& limits) {
  return ParseModelConfigFile(folder / "config.json", limits);
}

absl::StatusOr<ModelDescription> ParseModelConfigFile(const std::filesystem::path& path,
                                                      const ModelLimits& limits) {
  const auto file = MappedFile::Open(path, limits.max_config_bytes);
  if (!file.ok()) return file.status();
  return ParseModelConfigText((*file)->text(), limits);
}

absl::StatusOr<ModelDescription> ParseModelConfigText(std::string_view json,
                                                      const ModelLimits& limits) {
  const auto tree = ParseTree(json, limits);
  if (!tree.ok()) return tree.status();
  absl::Status status;
  ConfigReader config(&*tree, &status);
  const std::string_view assumed = config.Has("ssm_cfg") ? "mamba2attn" : "";
  const std::string model_type = config.StringOr("model_type", assumed);
  if (!status.ok()) return status;
  const auto family = FindFamily(model_type);
  if (!family.ok()) return family.status();
  ModelDescription model = (*family)->describe(config, limits);
  if (status.ok()) status = Validate(model, limits);
  if (!status.ok()) return status;
  return model;
}

int64_t ParameterCount(const ModelDescription& model) {
  const int64_t tables = model.tied_embeddings ? 1 : 2;
  int64_t per_layer = model.d_model;
  if (model.mlp_dim > 0) per_layer += model.d_model + int64_t{3} * model.d_model * model.mlp_dim;
  return tables * model.vocab_size * model.d_model + model.d_model +
         static_cast<int64_t>(model.layers.size()) * per_layer +
         model.attention_layers() * AttentionParameters(model) +
         model.mamba_layers() * MambaParameters(model);
}

int64_t StateElements(const ModelDescription& model) {
  const Mamba2Description& mamba = model.mamba2;
  const AttentionDescription& attention = model.attention;
  const int64_t ssm = int64_t{mamba.d_inner()} * mamba.d_state;
  const int64_t conv = int64_t{mamba.conv_channels()} * std::max(mamba.conv_width - 1, 0);
  const int64_t qkv = (attention.q_heads + int64_t{2} * attention.kv_heads) * attention.head_dim;
  return model.mamba_layers() * (ssm + conv) +
         model.attention_layers() * qkv * std::max(attention.conv_width - 1, 0);
}

std::string TensorName(std::string_view pattern, int32_t layer) {
  return absl::StrReplaceAll(absl::string_view(pattern.data(), pattern.size()),
                             {{"{}", absl::StrCat(layer)}});
}

}  // namespace eidetic
