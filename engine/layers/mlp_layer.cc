#include "engine/layers/mlp_layer.h"

namespace eidetic {

MlpLayer::MlpLayer(const ModelDescription& description, int32_t layer, WeightLoader* loader)
    : description_(description) {
  const TensorNames& names = description.names;
  const int64_t dim = description.mlp_dim;
  norm_ = loader->LoadVector(names.mlp_norm, ".weight", layer, {description.d_model});
  gate_up_ = loader->LoadStacked({{names.gate, dim}, {names.up, dim}}, layer, description.d_model);
  down_ = loader->LoadMatrix(names.down, layer, description.d_model, dim);
}

void MlpLayer::Run(Backend* backend, int64_t rows, float* residual, MlpBuffers* buffers) const {
  void* hidden = buffers->hidden.Ensure(rows * description_.mlp_dim * backend->activation_bytes());
  backend->MatMul({.x = residual,
                   .x_number = Number::kFloat32,
                   .norm = {.weight = norm_->data(), .eps = description_.norm_eps},
                   .w = gate_up_.get(),
                   .out = hidden,
                   .rows = rows,
                   .swiglu = true});
  backend->MatMul({.x = hidden,
                   .w = down_.get(),
                   .out = residual,
                   .out_number = Number::kFloat32,
                   .rows = rows,
                   .multiplier = description_.multipliers.residual,
                   .accumulate = true});
}

}  // namespace eidetic
