#include "engine/layers/adapter_loader.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/model/model_description.h"
#include "engine/model/tensor_shape.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

absl::Status InvalidTensor(const std::string& name, const std::string& reason) {
  return absl::InvalidArgumentError(absl::StrCat("adapter: tensor ", name, ": ", reason));
}

// The bytes of [rows, cols] as those of [cols, rows].
std::vector<std::byte> Transpose(const TensorView& view, int64_t rows, int64_t cols) {
  const int64_t size = DTypeBytes(view.dtype);
  std::vector<std::byte> to(view.data.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      std::memcpy(to.data() + (col * rows + row) * size,
                  view.data.data() + (row * cols + col) * size, size);
    }
  }
  return to;
}

}  // namespace

const TensorView* AdapterLoader::Take(const std::string& name, const std::vector<int64_t>& shape) {
  const auto found = weights_->tensors().find(name);
  if (found == weights_->tensors().end()) return nullptr;
  taken_.insert(name);
  if (!ShapesAgree(found->second.shape, shape)) {
    status_.Update(InvalidTensor(name, absl::StrCat("shape ", ShapeText(found->second.shape),
                                                    " where the model and the adapter's rank ask "
                                                    "for ",
                                                    ShapeText(shape))));
  }
  return status_.ok() ? &found->second : nullptr;
}

std::unique_ptr<Vector> AdapterLoader::Upload(const TensorView& view) {
  absl::StatusOr<std::unique_ptr<Vector>> vector = backend_->LoadVector(view);
  status_.Update(vector.status());
  if (!vector.ok()) return nullptr;
  bytes_ += (*vector)->size() * static_cast<int64_t>(sizeof(float));
  return *std::move(vector);
}

std::unique_ptr<Vector> AdapterLoader::LoadWhole(std::string_view pattern, std::string_view suffix,
                                                 int32_t layer, const std::vector<int64_t>& shape) {
  if (pattern.empty()) return nullptr;
  const TensorView* view = Take(TensorName(pattern, layer) + std::string(suffix), shape);
  return view == nullptr ? nullptr : Upload(*view);
}

LowRankDelta AdapterLoader::LoadDelta(std::string_view pattern, int32_t layer, int64_t outputs,
                                      int64_t cols) {
  LowRankDelta delta{.rank = weights_->rank(), .scale = weights_->scale()};
  const std::string name = TensorName(pattern, layer);
  const TensorView* a = Take(name + ".lora_A.weight", {delta.rank, cols});
  const TensorView* b = Take(name + ".lora_B.weight", {outputs, delta.rank});
  if (status_.ok() && (a == nullptr) != (b == nullptr)) {
    status_ = InvalidTensor(name + (a == nullptr ? ".lora_B.weight" : ".lora_A.weight"),
                            "its other half is missing");
  }
  if (a == nullptr || b == nullptr) return delta;
  const std::vector<std::byte> transposed = Transpose(*b, outputs, delta.rank);
  delta.a = Upload(*a);
  delta.b = Upload({b->dtype, {delta.rank, outputs}, transposed});
  return delta;
}

absl::Status AdapterLoader::Finish() const {
  if (!status_.ok()) return status_;
  for (const auto& [name, view] : weights_->tensors()) {
    if (taken_.contains(name)) continue;
    return InvalidTensor(Quoted(name),
                         "is nothing that the model has and an adapter may change: low-rank deltas "
                         "of attention's projections and Mamba's in_proj and out_proj; "
                         "convolutions and norms whole");
  }
  return absl::OkStatus();
}

}  // namespace eidetic
