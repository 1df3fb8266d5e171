#include "engine/model/adapter_weights.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/model/config_reader.h"
#include "engine/model/json_events.h"
#include "engine/model/mapped_file.h"
#include "engine/model/sha256.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr char kConfigFile[] = "adapter_config.json";
constexpr char kTensorFile[] = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr int kMaxConfigDepth = 8;
constexpr int32_t kMaxNames = 1024;
constexpr double kMaxAlpha = 1e6;

struct Config {
  int32_t rank = 0;
  float scale = 0;
  // Last parts of modules' names. No value: the config gives a pattern instead.
  std::optional<std::set<std::string>> low_rank, whole;
};

absl::Status InvalidConfig(std::string_view field, std::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat(kConfigFile, ": ", std::string(field), ": ", std::string(reason)));
}

absl::Status InvalidTensor(std::string_view name, std::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat(kTensorFile, ": tensor ", Quoted(name), ": ", std::string(reason)));
}

// A list of strings under `key`; null and absent are empty, one string is a pattern.
absl::StatusOr<std::optional<std::set<std::string>>> Names(const nlohmann::json& config,
                                                           const char* key) {
  std::set<std::string> names;
  const auto field = config.find(key);
  if (field == config.end() || field->is_null()) return std::optional(names);
  if (field->is_string()) return std::optional<std::set<std::string>>();
  if (!field->is_array() || field->size() > kMaxNames) {
    return InvalidConfig(key, absl::StrCat("must be a list of at most ", kMaxNames, " names"));
  }
  for (const auto& name : *field) {
    if (!name.is_string()) return InvalidConfig(key, "must be a list of names");
    names.insert(name.get<std::string>());
  }
  return std::optional(std::move(names));
}

// What would change an adapter's meaning, and is not done here.
absl::Status RefuseUnsupported(const nlohmann::json& config) {
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias"}) {
    const auto field = config.find(key);
    if (field == config.end() || field->is_null() || *field == false) continue;
    return InvalidConfig(key, "is not supported; train without it");
  }
  for (const char* key : {"rank_pattern", "alpha_pattern", "layer_replication",
                          "trainable_token_indices", "target_parameters"}) {
    const auto field = config.find(key);
    if (field == config.end() || field->is_null() || field->empty()) continue;
    return InvalidConfig(key, "is not supported; one rank and one alpha hold for all modules");
  }
  return absl::OkStatus();
}

absl::StatusOr<Config> ParseConfig(std::string_view json, const AdapterLimits& limits) {
  if (NestsDeeperThan(json, kMaxConfigDepth)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kConfigFile, ": nests deeper than ", kMaxConfigDepth));
  }
  const auto tree = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!tree.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(kConfigFile, ": must be one JSON object"));
  }
  absl::Status status;
  ConfigReader reader(&tree, &status, kConfigFile);
  reader.Require(reader.IsString("peft_type", "LORA"), "peft_type", "must be \"LORA\"");
  reader.Require(reader.StringOr("bias", "none") == "none", "bias", "must be \"none\"");
  Config config;
  config.rank = reader.Int("r", 1, limits.max_rank);
  const double alpha = reader.NumberOr("lora_alpha", -kMaxAlpha, kMaxAlpha, config.rank);
  const bool stabilised = reader.BoolOr("use_rslora", false);
  config.scale = static_cast<float>(alpha / (stabilised ? std::sqrt(config.rank) : config.rank));
  if (status.ok()) status = RefuseUnsupported(tree);
  if (!status.ok()) return status;
  auto low_rank = Names(tree, "target_modules");
  if (!low_rank.ok()) return low_rank.status();
  auto whole = Names(tree, "modules_to_save");
  if (!whole.ok()) return whole.status();
  config.low_rank = *std::move(low_rank);
  config.whole = *std::move(whole);
  return config;
}

// "q_proj" of "model.layers.2.self_attn.q_proj" and `suffix`.
std::string Module(std::string_view name, std::string_view suffix) {
  name.remove_suffix(suffix.size());
  const size_t dot = name.rfind('.');
  return std::string(dot == name.npos ? name : name.substr(dot + 1));
}

// Whether the config lists what `name` belongs to; what it found is erased from `unseen`.
absl::Status CheckListed(std::string_view name, const Config& config,
                         std::set<std::string>* unseen) {
  const auto check = [&](const std::optional<std::set<std::string>>& listed, const char* field,
                         std::string_view suffix) {
    const std::string module = Module(name, suffix);
    unseen->erase(module);
    if (!listed || listed->contains(module)) return absl::OkStatus();
    return InvalidTensor(name, absl::StrCat("belongs to ", Quoted(module), ", which ", kConfigFile,
                                            " does not list in ", field));
  };
  for (const std::string_view suffix : {".lora_A.weight", ".lora_B.weight"}) {
    if (name.ends_with(suffix)) return check(config.low_rank, "target_modules", suffix);
  }
  for (const std::string_view suffix : {".weight", ".bias"}) {
    if (name.ends_with(suffix)) return check(config.whole, "modules_to_save", suffix);
  }
  return InvalidTensor(name, "is neither X.lora_A.weight, X.lora_B.weight, X.weight nor X.bias");
}

absl::StatusOr<std::map<std::string, TensorView>> OwnNames(const SafetensorsFile& file,
                                                           const Config& config) {
  for (const auto& [name, dtype] : file.unsupported()) {
    return InvalidTensor(
        name, absl::StrCat("dtype ", dtype, " is not supported; store it as F32, F16 or BF16"));
  }
  std::set<std::string> unseen;
  for (const auto* listed : {&config.low_rank, &config.whole}) {
    if (*listed) unseen.insert((*listed)->begin(), (*listed)->end());
  }
  std::map<std::string, TensorView> tensors;
  for (const auto& [name, view] : file.tensors()) {
    if (!name.starts_with(kPrefix)) {
      return InvalidTensor(name, absl::StrCat("its name must begin with ", std::string(kPrefix)));
    }
    const absl::Status status = CheckListed(name, config, &unseen);
    if (!status.ok()) return status;
    tensors.emplace(name.substr(kPrefix.size()), view);
  }
  if (tensors.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(kTensorFile, ": has no tensors"));
  }
  if (unseen.empty()) return tensors;
  return InvalidConfig("target_modules or modules_to_save",
                       absl::StrCat("lists ", Quoted(*unseen.begin()), ", of which ", kTensorFile,
                                    " has no tensor"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterWeights>> AdapterWeights::Open(
    const std::filesystem::path& folder, const AdapterLimits& limits) {
  const auto text = MappedFile::Open(folder / kConfigFile, limits.max_config_bytes);
  if (!text.ok()) return text.status();
  const auto config = ParseConfig((*text)->text(), limits);
  if (!config.ok()) return config.status();
  auto file = SafetensorsFile::Open(folder / kTensorFile, limits.tensors);
  if (!file.ok()) return file.status();
  const auto bytes = static_cast<int64_t>((*file)->bytes().size());
  if (bytes > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(kTensorFile, ": ", bytes, " bytes exceed the limit of ", limits.max_bytes));
  }
  auto tensors = OwnNames(**file, *config);
  if (!tensors.ok()) return tensors.status();
  // The length goes before, so that no two pairs of files give the same bytes.
  const uint64_t length = (*text)->bytes().size();
  Sha256 hash;
  hash.Add(std::as_bytes(std::span(&length, 1)));
  hash.Add((*text)->bytes());
  hash.Add((*file)->bytes());
  auto weights = std::make_unique<AdapterWeights>(config->rank, config->scale, *std::move(tensors),
                                                  absl::BytesToHexString(hash.Finish()));
  weights->file_ = *std::move(file);
  return weights;
}

}  // namespace eidetic
