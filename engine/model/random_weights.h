// Seeded random weights for a description: to measure a model whose weights are not at hand.
//
// What: every name that the description asks for, in the sizes and dtype (bf16 matrices) of a real
//   checkpoint. A matrix is a window into one pool of random numbers, so that a model of many
//   gigabytes costs its copy to the backend and the pool, 64 MiB more than its largest tensor.
// Thread safety: immutable after Create. Ownership: owns pool and vectors; views live as long as
//   it does. Preconditions: a validated description.
//
// What is drawn: matrices, biases and embeddings of deviation 0.02 (Bamba's initializer_range):
// behind a norm this gives numbers near 1 for every width in use, and a float32 residual stream
// holds the sum over all layers. Norm weights lie near 1; convolutions have deviation
// 1/sqrt(width); A in [1, 16], dt in [0.001, 0.1] and D = 1 are where Mamba-2 starts its training
// (Dao & Gu 2024). Deterministic in the seed and the tensor's name.
#ifndef EIDETIC_ENGINE_MODEL_RANDOM_WEIGHTS_H_
#define EIDETIC_ENGINE_MODEL_RANDOM_WEIGHTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/model_description.h"
#include "engine/model/weight_source.h"

namespace eidetic {

struct RandomWeightsLimits {
  int64_t max_matrix_bytes = int64_t{4} << 30;  // of the largest matrix
  int64_t max_vector_bytes = int64_t{1} << 30;  // norms, convolutions, A, dt and D together
};

class RandomWeights final : public WeightSource {
 public:
  // Errors: INVALID_ARGUMENT when the description asks for more than `limits`.
  static absl::StatusOr<std::unique_ptr<RandomWeights>> Create(
      const ModelDescription& description, uint64_t seed, const RandomWeightsLimits& limits = {});

  // Never fails for a tensor of the description; CHECKs its size.
  absl::StatusOr<TensorView> Get(std::string_view name,
                                 std::span<const int64_t> shape) const override;
  // Of the seed, the vectors and the number of parameters: they tell what the matrices are.
  std::string ContentHash() const override;

 private:
  RandomWeights(const ModelDescription& description, uint64_t seed);
  void DrawVectors(const ModelDescription& description);

  const uint64_t seed_;
  const int64_t parameters_;
  std::vector<uint16_t> pool_;                         // bf16
  std::map<std::string, std::vector<float>> vectors_;  // by tensor name
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_RANDOM_WEIGHTS_H_
