#include "engine/layers/mlp_layer.h"

namespace eidetic {

MlpLayer::MlpLayer(const ModelDescription& description, int32_t layer, WeightLoader* loader)
    : description_(description), layer_(layer) {
  const TensorNames& names = description.names;
  const int64_t dim = description.mlp_dim;
  norm_ = loader->LoadVector(names.mlp_norm, ".weight", layer, {description.d_model});
  gate_up_ = loader->LoadStacked({{names.gate, dim}, {names.up, dim}}, layer, description.d_model);
  down_ = loader->LoadMatrix(names.down, layer, description.d_model, dim);
}

void MlpLayer::LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const {
  adapter->mlp_norm =
      loader->LoadWhole(description_.names.mlp_norm, ".weight", layer_, {description_.d_model});
}

void MlpLayer::Run(Backend* backend, const StepBatch& batch, float* residual,
                   MlpBuffers* buffers) const {
  const int64_t rows = batch.rows;
  void* hidden = buffers->hidden.Ensure(rows * description_.mlp_dim * backend->activation_bytes());
  const MatMulParams gate_up = {.x = residual,
                                .x_number = Number::kFloat32,
                                .norm = {.weight = norm_->data(), .eps = description_.norm_eps},
                                .w = gate_up_.get(),
                                .out = hidden,
                                .rows = rows,
                                .swiglu = true};
  const auto norms = batch.adapters.Norms(
      [this](const ModelAdapter& own) { return own.layers[layer_].mlp_norm.get(); });
  MultiplyAdapted(backend, gate_up, norms, {}, &buffers->normed);
  backend->MatMul({.x = hidden,
                   .w = down_.get(),
                   .out = residual,
                   .out_number = Number::kFloat32,
                   .rows = rows,
                   .multiplier = description_.multipliers.residual,
                   .accumulate = true});
}

}  // namespace eidetic
