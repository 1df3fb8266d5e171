// Fetches an adapter's tensors onto a backend, for the layers that they are meant for.
//
// What: as WeightLoader, but each tensor may be missing, and none may be left over: a tensor that
//   no layer asked for is an error, so that an adapter is taken whole or refused.
// Thread safety: none. Ownership: borrows weights and backend; results are the caller's.
// Preconditions: results are worth nothing unless Finish gives OK.
#ifndef EIDETIC_ENGINE_LAYERS_ADAPTER_LOADER_H_
#define EIDETIC_ENGINE_LAYERS_ADAPTER_LOADER_H_

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/backend/backend.h"
#include "engine/layers/model_adapter.h"
#include "engine/model/adapter_weights.h"

namespace eidetic {

class AdapterLoader {
 public:
  AdapterLoader(const AdapterWeights* weights, Backend* backend)
      : weights_(weights), backend_(backend) {}

  // "<pattern><suffix>" trained whole, with exactly `shape`; null when the adapter has none, or
  // when the pattern is empty.
  std::unique_ptr<Vector> LoadWhole(std::string_view pattern, std::string_view suffix,
                                    int32_t layer, const std::vector<int64_t>& shape);
  // The delta of the matrix "<pattern>.weight", [outputs, cols].
  LowRankDelta LoadDelta(std::string_view pattern, int32_t layer, int64_t outputs, int64_t cols);

  // INVALID_ARGUMENT naming a tensor: of another shape, without its other half, or of nothing
  // that an adapter may change. RESOURCE_EXHAUSTED.
  absl::Status Finish() const;
  int64_t bytes() const { return bytes_; }

 private:
  const TensorView* Take(const std::string& name, const std::vector<int64_t>& shape);
  std::unique_ptr<Vector> Upload(const TensorView& view);

  const AdapterWeights* weights_;
  Backend* backend_;
  absl::Status status_;
  std::set<std::string> taken_;
  int64_t bytes_ = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_ADAPTER_LOADER_H_
