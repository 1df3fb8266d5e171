#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/model/json_events.h"
#include "engine/model/safetensors.h"
#include "engine/model/safetensors_index.h"
#include "engine/model/sha256.h"
#include "engine/model/tensor_shape.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

absl::StatusOr<SafetensorsIndex> ReadIndex(const std::filesystem::path& path,
                                           const SafetensorsLimits& limits) {
  const auto file = MappedFile::Open(path, limits.max_index_bytes);
  if (!file.ok()) return file.status();
  auto index = ParseSafetensorsIndex((*file)->text(), limits);
  if (index.ok()) return index;
  return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", index.status().message()));
}

std::vector<std::pair<std::string, std::string>> NamesOf(const SafetensorsFile& file,
                                                         const std::string& file_name) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const auto& [tensor, _] : file.tensors()) names.emplace_back(tensor, file_name);
  for (const auto& [tensor, _] : file.unsupported()) names.emplace_back(tensor, file_name);
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightFolder>> WeightFolder::Open(
    const std::filesystem::path& folder, const SafetensorsLimits& limits) {
  std::error_code ignored;
  const bool single = std::filesystem::exists(folder / kSingleFile, ignored);
  SafetensorsIndex index;
  if (single) {
    index.shards.insert(kSingleFile);
  } else {
    auto read = ReadIndex(folder / kIndexFile, limits);
    if (!read.ok()) return read.status();
    index = *std::move(read);
  }
  std::unique_ptr<WeightFolder> weights(new WeightFolder());
  absl::Status status = weights->OpenShards(folder, index.shards, limits);
  if (!status.ok()) return status;
  if (single) index.shard_of = NamesOf(*weights->shards_.front().second, kSingleFile);
  status = weights->PlaceTensors(index.shard_of);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat((folder / kIndexFile).string(), ": ", status.message()));
  }
  return weights;
}

absl::Status WeightFolder::OpenShards(const std::filesystem::path& folder,
                                      const std::set<std::string>& names, SafetensorsLimits left) {
  for (const std::string& name : names) {
    auto shard = SafetensorsFile::Open(folder / name, left);
    if (!shard.ok()) return shard.status();
    left.max_header_bytes -= (*shard)->header_bytes();
    left.max_tensors -= (*shard)->tensors().size() + (*shard)->unsupported().size();
    shards_.emplace_back(name, *std::move(shard));
  }
  return absl::OkStatus();
}

absl::Status WeightFolder::PlaceTensors(
    const std::vector<std::pair<std::string, std::string>>& shard_of) {
  absl::flat_hash_map<std::string, const SafetensorsFile*> shards;
  for (const auto& [name, shard] : shards_) shards[name] = shard.get();
  for (const auto& [tensor, name] : shard_of) {
    const SafetensorsFile* shard = shards.at(name);
    if (!shard->Has(tensor)) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight_map: tensor ", Quoted(tensor), " is not in ", Quoted(name)));
    }
    if (!shard_of_.emplace(tensor, shard).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight_map: tensor ", Quoted(tensor), " appears twice"));
    }
    const auto view = shard->tensors().find(tensor);
    if (view != shard->tensors().end()) total_bytes_ += view->second.data.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorView> WeightFolder::Get(std::string_view name,
                                             std::span<const int64_t> shape) const {
  const std::string key(name);
  const auto shard = shard_of_.find(key);
  if (shard == shard_of_.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no tensor ", Quoted(name)));
  }
  const auto stored = shard->second->tensors().find(key);
  if (stored == shard->second->tensors().end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(name), ": dtype ", shard->second->unsupported().at(key),
                     " is not supported; store it as F32, F16 or BF16"));
  }
  TensorView view = stored->second;
  if (!ShapesAgree(view.shape, shape)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(name), ": shape ", ShapeText(view.shape),
                     " where config.json asks for ", ShapeText(shape)));
  }
  view.shape.assign(shape.begin(), shape.end());
  return view;
}

bool WeightFolder::Has(std::string_view name) const {
  return shard_of_.contains(std::string(name));
}

std::string WeightFolder::ContentHash() const {
  Sha256 hash;
  for (const auto& [_, shard] : shards_) hash.Add(shard->bytes());
  return absl::BytesToHexString(hash.Finish());
}

}  // namespace eidetic
