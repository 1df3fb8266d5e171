// Fetches named weights of known shape onto a backend.
//
// What: turns "tensor name + shape" into Matrix and Vector, and remembers the first
//   error, so that a layer's constructor reads as a list of its weights.
// Thread safety: none. Ownership: borrows source and backend; results are the caller's.
// Preconditions: results are null once status() is not OK; check it before use.
#ifndef EIDETIC_ENGINE_LAYERS_WEIGHT_LOADER_H_
#define EIDETIC_ENGINE_LAYERS_WEIGHT_LOADER_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/backend/backend.h"
#include "engine/model/weight_source.h"

namespace eidetic {

class WeightLoader {
 public:
  WeightLoader(const WeightSource* source, Backend* backend) : source_(source), backend_(backend) {}

  // "<pattern with {} replaced by layer>.weight", [rows, cols].
  std::unique_ptr<Matrix> LoadMatrix(std::string_view pattern, int32_t layer, int64_t rows,
                                     int64_t cols);
  struct Part {
    std::string_view pattern;
    int64_t rows;
  };
  // Several such matrices of `cols` columns, stacked by rows.
  std::unique_ptr<Matrix> LoadStacked(const std::vector<Part>& parts, int32_t layer, int64_t cols);
  // "<pattern><suffix>" with exactly `shape`.
  std::unique_ptr<Vector> LoadVector(std::string_view pattern, std::string_view suffix,
                                     int32_t layer, std::vector<int64_t> shape);
  // The ".bias" vectors of the same parts, end to end.
  std::unique_ptr<Vector> LoadStackedBias(const std::vector<Part>& parts, int32_t layer);

  const absl::Status& status() const { return status_; }
  int64_t parameter_count() const { return parameter_count_; }

 private:
  TensorView Get(std::string_view pattern, std::string_view suffix, int32_t layer,
                 const std::vector<int64_t>& shape);
  template <typename T>
  std::unique_ptr<T> Take(absl::StatusOr<std::unique_ptr<T>> loaded);

  const WeightSource* source_;
  Backend* backend_;
  absl::Status status_;
  int64_t parameter_count_ = 0;
};

// The data of a weight that a model may lack, as the backend's params want it.
inline const float* DataOrNull(const std::unique_ptr<Vector>& vector) {
  return vector == nullptr ? nullptr : vector->data();
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_WEIGHT_LOADER_H_
