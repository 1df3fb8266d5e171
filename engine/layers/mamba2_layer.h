// The Mamba-2 mixer: projection, short convolution, selective scan, gated norm.
//
// Thread safety: none. Ownership: owns weights and working memory; borrows the backend
//   and the description. Preconditions: the batch's memories are working().
// Source: Dao & Gu, "Transformers are SSMs", 2024, section 8 (the block of Mamba-2).
#ifndef EIDETIC_ENGINE_LAYERS_MAMBA2_LAYER_H_
#define EIDETIC_ENGINE_LAYERS_MAMBA2_LAYER_H_

#include <memory>

#include "engine/layers/adapter_loader.h"
#include "engine/layers/step_batch.h"
#include "engine/layers/weight_loader.h"
#include "engine/model/model_description.h"

namespace eidetic {

// Working memory that all Mamba layers share, since they run one after another.
struct Mamba2Buffers {
  explicit Mamba2Buffers(memory::Arena* arena)
      : projected(arena), convolved(arena), scanned(arena), normed(arena) {}
  Buffer projected;  // [T, in_proj_rows]
  Buffer convolved;  // [T, conv_channels]
  Buffer scanned;    // [T, d_inner]
  Buffer normed;     // [T, d_model] or [T, d_inner], with adapters
};

class Mamba2Layer {
 public:
  Mamba2Layer(const ModelDescription& description, int32_t layer, WeightLoader* loader);

  void LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const;

  // residual += mixer(norm(residual)). residual is float32 [T, d_model]; the layer's state
  // lies at `conv_offset` and `ssm_offset` of the slots.
  void Run(Backend* backend, const StepBatch& batch, size_t conv_offset, size_t ssm_offset,
           float* residual, Mamba2Buffers* buffers) const;

 private:
  // The first product, and the last.
  void Project(Backend* backend, const StepBatch& batch, const float* residual, void* projected,
               Mamba2Buffers* buffers) const;
  void Finish(Backend* backend, const StepBatch& batch, const void* scanned, const void* projected,
              float* residual, Mamba2Buffers* buffers) const;

  const ModelDescription& description_;
  const int32_t layer_;
  std::unique_ptr<Vector> norm_;
  std::unique_ptr<Matrix> in_proj_, out_proj_;
  std::unique_ptr<Vector> in_proj_bias_, out_proj_bias_;  // null unless proj_bias
  std::unique_ptr<Vector> conv_weight_, conv_bias_;
  std::unique_ptr<Vector> dt_bias_, a_log_, d_, gated_norm_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_MAMBA2_LAYER_H_
