// Where a model's weights come from.
//
// What: named tensors, whoever holds them: a folder of files (WeightFolder), or a generator
//   (RandomWeights).
// Thread safety: const calls may run at once. Ownership: views live as long as the source.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_MODEL_WEIGHT_SOURCE_H_
#define EIDETIC_ENGINE_MODEL_WEIGHT_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/dtype.h"

namespace eidetic {

// A view of one stored tensor.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;       // row-major
  std::span<const std::byte> data;  // product(shape) * DTypeBytes(dtype) bytes; any alignment
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // The tensor `name` in exactly `shape`. Errors: NOT_FOUND; INVALID_ARGUMENT naming the tensor.
  virtual absl::StatusOr<TensorView> Get(std::string_view name,
                                         std::span<const int64_t> shape) const = 0;
  // SHA-256, hex, that tells these weights from others: what a checkpoint binds to. Slow: call it
  // once.
  virtual std::string ContentHash() const = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_WEIGHT_SOURCE_H_
