// The SwiGLU feed-forward layer (Shazeer, 2020).
//
// Thread safety: none. Ownership: owns weights; borrows backend and description.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_LAYERS_MLP_LAYER_H_
#define EIDETIC_ENGINE_LAYERS_MLP_LAYER_H_

#include <memory>

#include "engine/layers/adapter_loader.h"
#include "engine/layers/step_batch.h"
#include "engine/layers/weight_loader.h"
#include "engine/model/model_description.h"

namespace eidetic {

// Working memory that all MLP layers share.
struct MlpBuffers {
  explicit MlpBuffers(memory::Arena* arena) : hidden(arena), normed(arena) {}
  Buffer hidden;  // [T, mlp_dim]
  Buffer normed;  // [T, d_model], with adapters
};

class MlpLayer {
 public:
  MlpLayer(const ModelDescription& description, int32_t layer, WeightLoader* loader);

  void LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const;

  // residual += mlp(norm(residual)). residual is float32 [T, d_model].
  void Run(Backend* backend, const StepBatch& batch, float* residual, MlpBuffers* buffers) const;

 private:
  const ModelDescription& description_;
  const int32_t layer_;
  std::unique_ptr<Vector> norm_;
  std::unique_ptr<Matrix> gate_up_, down_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_MLP_LAYER_H_
