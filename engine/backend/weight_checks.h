// What every backend may rely on of a weight that it loads.
//
// What: refuses weights whose shape and bytes do not fit each other.
// Thread safety: pure functions. Ownership: borrows everything. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_WEIGHT_CHECKS_H_
#define EIDETIC_ENGINE_BACKEND_WEIGHT_CHECKS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/safetensors.h"

namespace eidetic {

// Number of elements; INVALID_ARGUMENT when the shape is empty, too large or not what `data`
// holds.
absl::StatusOr<int64_t> CountElements(const TensorView& view);
// INVALID_ARGUMENT unless there are matrices, all of the same number of columns.
absl::Status CheckMatrices(std::span<const TensorView> views);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_WEIGHT_CHECKS_H_
