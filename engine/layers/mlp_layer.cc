#include "engine/layers/mlp_layer.h"

namespace eidetic {

MlpLayer::MlpLayer(const ModelDescription& description, int32_t layer, WeightLoader* loader)
    : description_(description) {
  const TensorNames& names = description.names;
  const int64_t dim = description.mlp_dim;
  gate_up_ = loader->LoadStacked({{names.gate, dim}, {names.up, dim}}, layer, description.d_model);
  down_ = loader->LoadMatrix(names.down, layer, description.d_model, dim);
}

void MlpLayer::Run(Backend* backend, int64_t rows, const void* x, void* residual,
                   MlpBuffers* buffers) const {
  const size_t element = backend->activation_bytes();
  const int64_t dim = description_.mlp_dim;
  void* gate_up = buffers->gate_up.Ensure(rows * 2 * dim * element);
  void* hidden = buffers->hidden.Ensure(rows * dim * element);
  backend->MatMul({.x = x, .w = gate_up_.get(), .out = gate_up, .rows = rows});
  backend->SwiGlu({.gate = gate_up,
                   .up = Offset(gate_up, dim, element),
                   .rows = rows,
                   .dim = dim,
                   .gate_stride = 2 * dim,
                   .up_stride = 2 * dim,
                   .out = hidden});
  backend->MatMul({.x = hidden,
                   .w = down_.get(),
                   .out = residual,
                   .rows = rows,
                   .multiplier = description_.multipliers.residual,
                   .accumulate = true});
}

}  // namespace eidetic
