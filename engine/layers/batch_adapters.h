// Which rows of a step's batch have an adapter, and what it changes of a layer.
//
// What: a batch holds rows of the base model and of several adapters. An operation computes all
//   rows with the base's weights, but for the tables made here, which name the others' own.
// Thread safety: none. Ownership: owns the tables, which operations read until the step has
//   ended; borrows the adapters. Preconditions: chunks are added in the order of their rows.
#ifndef EIDETIC_ENGINE_LAYERS_BATCH_ADAPTERS_H_
#define EIDETIC_ENGINE_LAYERS_BATCH_ADAPTERS_H_

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/backend/backend.h"
#include "engine/layers/model_adapter.h"

namespace eidetic {

class Buffer;

class BatchAdapters {
 public:
  // The next chunk, of `rows` rows; null: the base model's.
  void Add(int64_t rows, const ModelAdapter* adapter);

  // Empty where no row has an own norm, convolution or delta; then the operation is as without
  // adapters. `of`: what an adapter has for it, or null.
  std::span<const RowWeights> Norms(absl::FunctionRef<const Vector*(const ModelAdapter&)> of);
  std::span<const ConvWeights> Convolutions(int32_t layer, const ConvWeights& base);
  // Their scales times `multiplier`.
  std::span<const LowRankSegment> Deltas(
      absl::FunctionRef<const LowRankDelta*(const ModelAdapter&)> of, float multiplier);

 private:
  struct Run {
    int64_t row_begin = 0, row_count = 0;
    const ModelAdapter* adapter = nullptr;  // never null
  };
  int64_t rows_ = 0;
  std::vector<Run> runs_;                      // neighbours of one adapter are one run
  std::vector<const ModelAdapter*> of_chunk_;  // null: the base
  std::deque<std::vector<RowWeights>> norms_;  // deques: what is handed out stays where it is
  std::deque<std::vector<ConvWeights>> convolutions_;
  std::deque<std::vector<LowRankSegment>> deltas_;
};

// The deltas of outputs [begin, begin + count) of a product.
struct ProductDelta {
  std::span<const LowRankSegment> segments;
  int64_t begin = 0, count = 0;
};

// MatMul with own norms and deltas of some rows. Without any it is MatMul; with, the norm goes
// apart, through `normed`: a row's result is the same in bits, on a backend where it depends on
// that row alone.
void MultiplyAdapted(Backend* backend, const MatMulParams& params,
                     std::span<const RowWeights> norms, std::span<const ProductDelta> deltas,
                     Buffer* normed);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_BATCH_ADAPTERS_H_
