// An adapter on the backend, in the places where layers want it.
//
// Thread safety: immutable. Ownership: owns its arrays; the backend outlives it.
// Preconditions: made by HybridModel::LoadAdapter for the model that it is used with.
#ifndef EIDETIC_ENGINE_LAYERS_MODEL_ADAPTER_H_
#define EIDETIC_ENGINE_LAYERS_MODEL_ADAPTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/params.h"

namespace eidetic {

// scale * B A, added to a projection.
struct LowRankDelta {
  std::unique_ptr<Vector> a = nullptr;  // [rank, cols]; null: the projection stays as it is
  std::unique_ptr<Vector> b = nullptr;  // [rank, outputs]
  int32_t rank = 0;
  float scale = 0;
};

// What is null or empty stays as the model has it.
struct LayerAdapter {
  std::unique_ptr<Vector> mixer_norm, gated_norm, mlp_norm;
  std::unique_ptr<Vector> conv_weight, conv_bias;
  std::vector<LowRankDelta> in;  // of the first projection: one for each part that it is stacked of
  LowRankDelta out;              // of the last
};

struct ModelAdapter {
  std::string content_hash;
  int64_t bytes = 0;  // on the backend
  std::vector<LayerAdapter> layers;
  std::unique_ptr<Vector> final_norm;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_MODEL_ADAPTER_H_
