// Random adapters for a model: to measure a batch of many.
//
// Thread safety: none. Ownership: values; the weights' views live as long as the adapter.
// Preconditions: a validated description.
#ifndef EIDETIC_TESTS_BENCH_RANDOM_ADAPTER_H_
#define EIDETIC_TESTS_BENCH_RANDOM_ADAPTER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/adapter_weights.h"
#include "engine/model/model_description.h"

namespace eidetic::bench {

class RandomAdapter {
 public:
  // Deltas of `rank` for attention's projections, and with `all_projections` for Mamba's in_proj
  // and out_proj; convolutions and norms whole. Small, so that activations stay as they are.
  RandomAdapter(const ModelDescription& description, int32_t rank, bool all_projections,
                uint64_t seed);

  AdapterWeights Weights() const;

 private:
  void Draw(const std::string& name, std::vector<int64_t> shape, float mean);
  void DrawDelta(std::string_view pattern, int32_t layer, int64_t outputs, int64_t cols);

  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  int32_t rank_;
  uint64_t seed_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_RANDOM_ADAPTER_H_
