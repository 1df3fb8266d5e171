// Reads model weights from *.safetensors files, memory-mapped.
//
// What: one file (SafetensorsFile) or a folder of shards with a
//   model.safetensors.index.json (WeightFolder).
// Thread safety: immutable after Open. Ownership: owns the mappings; views
//   live as long as it does. Preconditions: none; files are hostile input.
//   A file that shrinks while it is mapped is the operator's error (SIGBUS).
// Format: 8 bytes little-endian header length, JSON header {name: {dtype,
//   shape, data_offsets: [begin, end)}}, then the data; tensors must tile the
//   data without overlap or gaps.
#ifndef EIDETIC_ENGINE_MODEL_SAFETENSORS_H_
#define EIDETIC_ENGINE_MODEL_SAFETENSORS_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/mapped_file.h"
#include "engine/model/weight_source.h"

namespace eidetic {

// For a folder, header bytes and tensors are limited over all shards together.
struct SafetensorsLimits {
  int64_t max_header_bytes = 16 << 20;
  int64_t max_index_bytes = 16 << 20;
  int32_t max_tensors = 1 << 16;
  int32_t max_rank = 8;
  int32_t max_shards = 4096;
};

class SafetensorsFile {
 public:
  // Errors: NOT_FOUND; INVALID_ARGUMENT with file, tensor and reason.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(
      const std::filesystem::path& path, const SafetensorsLimits& limits = {});

  const absl::flat_hash_map<std::string, TensorView>& tensors() const { return tensors_; }
  // Tensors of a dtype that DType does not have: name to dtype.
  const absl::flat_hash_map<std::string, std::string>& unsupported() const { return unsupported_; }
  bool Has(const std::string& name) const {
    return tensors_.contains(name) || unsupported_.contains(name);
  }
  int64_t header_bytes() const { return header_bytes_; }
  // The whole file.
  std::span<const std::byte> bytes() const { return file_->bytes(); }

 private:
  explicit SafetensorsFile(std::unique_ptr<MappedFile> file) : file_(std::move(file)) {}

  std::unique_ptr<MappedFile> file_;
  int64_t header_bytes_ = 0;
  absl::flat_hash_map<std::string, TensorView> tensors_;
  absl::flat_hash_map<std::string, std::string> unsupported_;
};

// All tensors of a model folder.
class WeightFolder final : public WeightSource {
 public:
  // `folder` holds model.safetensors, or model.safetensors.index.json and the
  // shards that it names (plain file names inside the folder, no paths). A
  // tensor that the index does not name does not exist.
  static absl::StatusOr<std::unique_ptr<WeightFolder>> Open(const std::filesystem::path& folder,
                                                            const SafetensorsLimits& limits = {});

  // The tensor `name`, which must have exactly `shape`; a size-1 dimension in
  // the file may be missing in `shape` (conv1d.weight is [channels, 1, width]).
  // The view has the shape asked for. Errors: NOT_FOUND; INVALID_ARGUMENT (shape differs: both
  // are named; a dtype other than F32, F16, BF16).
  absl::StatusOr<TensorView> Get(std::string_view name,
                                 std::span<const int64_t> shape) const override;
  bool Has(std::string_view name) const;
  // Of tensor data, headers not counted.
  int64_t total_bytes() const { return total_bytes_; }
  // Over every shard's bytes, in the order of their names.
  std::string ContentHash() const override;

 private:
  WeightFolder() = default;
  absl::Status OpenShards(const std::filesystem::path& folder, const std::set<std::string>& names,
                          SafetensorsLimits left);
  // `shard_of`: tensor name, file name.
  absl::Status PlaceTensors(const std::vector<std::pair<std::string, std::string>>& shard_of);

  // By file name, ascending.
  std::vector<std::pair<std::string, std::unique_ptr<SafetensorsFile>>> shards_;
  absl::flat_hash_map<std::string, const SafetensorsFile*> shard_of_;  // by tensor name
  int64_t total_bytes_ = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_SAFETENSORS_H_
