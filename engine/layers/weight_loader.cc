#include "engine/layers/weight_loader.h"

#include "absl/strings/str_cat.h"
#include "engine/model/model_description.h"

namespace eidetic {

TensorView WeightLoader::Get(std::string_view pattern, std::string_view suffix, int32_t layer,
                             const std::vector<int64_t>& shape) {
  if (!status_.ok()) return {};
  const std::string name = TensorName(pattern, layer) + std::string(suffix);
  absl::StatusOr<TensorView> view = source_->Get(name, shape);
  if (!view.ok()) {
    status_ = view.status();
    return {};
  }
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  parameter_count_ += elements;
  return *std::move(view);
}

template <typename T>
std::unique_ptr<T> WeightLoader::Take(absl::StatusOr<std::unique_ptr<T>> loaded) {
  if (!loaded.ok()) {
    status_ = loaded.status();
    return nullptr;
  }
  return *std::move(loaded);
}

std::unique_ptr<Matrix> WeightLoader::LoadMatrix(std::string_view pattern, int32_t layer,
                                                 int64_t rows, int64_t cols) {
  const TensorView view = Get(pattern, ".weight", layer, {rows, cols});
  return status_.ok() ? Take(backend_->LoadMatrix(view)) : nullptr;
}

std::unique_ptr<Matrix> WeightLoader::LoadStacked(const std::vector<Part>& parts, int32_t layer,
                                                  int64_t cols) {
  std::vector<TensorView> views;
  for (const Part& part : parts) {
    views.push_back(Get(part.pattern, ".weight", layer, {part.rows, cols}));
  }
  return status_.ok() ? Take(backend_->LoadStacked(views)) : nullptr;
}

std::unique_ptr<Vector> WeightLoader::LoadVector(std::string_view pattern, std::string_view suffix,
                                                 int32_t layer, std::vector<int64_t> shape) {
  const TensorView view = Get(pattern, suffix, layer, shape);
  return status_.ok() ? Take(backend_->LoadVector(view)) : nullptr;
}

std::unique_ptr<Vector> WeightLoader::LoadStackedBias(const std::vector<Part>& parts,
                                                      int32_t layer) {
  TensorView stacked;
  std::vector<std::byte> bytes;
  int64_t rows = 0;
  for (const Part& part : parts) {
    const TensorView view = Get(part.pattern, ".bias", layer, {part.rows});
    if (!status_.ok()) return nullptr;
    if (rows > 0 && view.dtype != stacked.dtype) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat(TensorName(part.pattern, layer), ".bias: is ", DTypeName(view.dtype),
                       " beside ", DTypeName(stacked.dtype), "; store both in one dtype"));
      return nullptr;
    }
    stacked.dtype = view.dtype;
    bytes.insert(bytes.end(), view.data.begin(), view.data.end());
    rows += part.rows;
  }
  stacked.shape = {rows};
  stacked.data = bytes;
  return Take(backend_->LoadVector(stacked));
}

}  // namespace eidetic
