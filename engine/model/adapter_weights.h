// A HyLoRA adapter as PEFT writes it: low-rank deltas of projections, and tensors trained whole.
//
// What: a folder with adapter_config.json and adapter_model.safetensors. Tensors are named as the
//   model's, with "base_model.model." before: X.lora_A.weight [rank, inputs] and X.lora_B.weight
//   [outputs, rank] stand for W + scale B A, and any other for itself. What is in them, whether
//   the model has it and in which shape, is the reader's to check (layers/adapter_loader.h).
// Thread safety: immutable after Open. Ownership: owns the mapping; views live as long as it does.
// Preconditions: none; the files are hostile input.
// Source: LoRA, arXiv 2106.09685; scale = alpha / rank, with rank-stabilised LoRA
//   (arXiv 2312.03732) alpha / sqrt(rank).
#ifndef EIDETIC_ENGINE_MODEL_ADAPTER_WEIGHTS_H_
#define EIDETIC_ENGINE_MODEL_ADAPTER_WEIGHTS_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/model/safetensors.h"
#include "engine/model/weight_source.h"

namespace eidetic {

struct AdapterLimits {
  int64_t max_config_bytes = 1 << 20;
  int64_t max_bytes = int64_t{1} << 30;  // of the tensors' file
  int32_t max_rank = 256;
  SafetensorsLimits tensors = {};
};

class AdapterWeights {
 public:
  // Errors: NOT_FOUND; INVALID_ARGUMENT naming file, field or tensor, and the remedy.
  static absl::StatusOr<std::unique_ptr<AdapterWeights>> Open(const std::filesystem::path& folder,
                                                              const AdapterLimits& limits = {});
  // From tensors that the caller keeps, under the model's own names.
  AdapterWeights(int32_t rank, float scale, std::map<std::string, TensorView> tensors,
                 std::string content_hash)
      : rank_(rank),
        scale_(scale),
        tensors_(std::move(tensors)),
        content_hash_(std::move(content_hash)) {}

  int32_t rank() const { return rank_; }
  float scale() const { return scale_; }
  // By the model's own names.
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  // SHA-256, hex, over both files: what a session's state is bound to.
  const std::string& content_hash() const { return content_hash_; }

 private:
  int32_t rank_;
  float scale_;
  std::map<std::string, TensorView> tensors_;
  std::string content_hash_;
  std::unique_ptr<SafetensorsFile> file_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_ADAPTER_WEIGHTS_H_
