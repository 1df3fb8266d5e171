#include "engine/layers/mamba2_layer.h"

namespace eidetic {
Mamba2Layer::Mamba2Layer(const ModelDescription& description, int32_t layer, WeightLoader* loader)
    : description_(description), layer_(layer) {
  const Mamba2Description& m = description.mamba2;
  const TensorNames& names = description.names;
  norm_ = loader->LoadVector(names.mixer_norm, ".weight", layer, {description.d_model});
  in_proj_ = loader->LoadMatrix(names.in_proj, layer, m.in_proj_rows(), description.d_model);
  out_proj_ = loader->LoadMatrix(names.out_proj, layer, description.d_model, m.d_inner());
  if (m.proj_bias) {
    in_proj_bias_ = loader->LoadVector(names.in_proj, ".bias", layer, {m.in_proj_rows()});
    out_proj_bias_ = loader->LoadVector(names.out_proj, ".bias", layer, {description.d_model});
  }
  conv_weight_ =
      loader->LoadVector(names.conv, ".weight", layer, {m.conv_channels(), m.conv_width});
  if (m.conv_bias) conv_bias_ = loader->LoadVector(names.conv, ".bias", layer, {m.conv_channels()});
  dt_bias_ = loader->LoadVector(names.dt_bias, "", layer, {m.heads});
  a_log_ = loader->LoadVector(names.a_log, "", layer, {m.heads});
  d_ = loader->LoadVector(names.d, "", layer, {m.heads});
  gated_norm_ = loader->LoadVector(names.gated_norm, ".weight", layer, {m.d_inner()});
}

void Mamba2Layer::LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const {
  const Mamba2Description& m = description_.mamba2;
  const TensorNames& names = description_.names;
  const int64_t dim = description_.d_model, channels = m.conv_channels();
  adapter->mixer_norm = loader->LoadWhole(names.mixer_norm, ".weight", layer_, {dim});
  adapter->in.push_back(loader->LoadDelta(names.in_proj, layer_, m.in_proj_rows(), dim));
  adapter->out = loader->LoadDelta(names.out_proj, layer_, dim, m.d_inner());
  adapter->conv_weight = loader->LoadWhole(names.conv, ".weight", layer_, {channels, m.conv_width});
  if (m.conv_bias) adapter->conv_bias = loader->LoadWhole(names.conv, ".bias", layer_, {channels});
  adapter->gated_norm = loader->LoadWhole(names.gated_norm, ".weight", layer_, {m.d_inner()});
}

void Mamba2Layer::Run(Backend* backend, const StepBatch& batch, size_t conv_offset,
                      size_t ssm_offset, float* residual, Mamba2Buffers* buffers) const {
  const Mamba2Description& m = description_.mamba2;
  const size_t element = backend->activation_bytes();
  const int64_t rows = batch.rows;
  void* projected = buffers->projected.Ensure(rows * m.in_proj_rows() * element);
  void* convolved = buffers->convolved.Ensure(rows * m.conv_channels() * element);
  void* scanned = buffers->scanned.Ensure(rows * m.d_inner() * element);

  Project(backend, batch, residual, projected, buffers);
  backend->ConvScan(
      {.x = Offset(projected, m.d_inner(), element),
       .weight = conv_weight_->data(),
       .bias = DataOrNull(conv_bias_),
       .out = convolved,
       .channels = m.conv_channels(),
       .width = m.conv_width,
       .x_stride = m.in_proj_rows(),
       .silu = true,
       .sequences = batch.states,
       .state_offset = conv_offset,
       .own = batch.adapters.Convolutions(layer_, {conv_weight_->data(), DataOrNull(conv_bias_)})},
      {.xbc = convolved,
       .dt = Offset(projected, m.d_inner() + m.conv_channels(), element),
       .dt_stride = m.in_proj_rows(),
       .a_log = a_log_->data(),
       .dt_bias = dt_bias_->data(),
       .d = d_->data(),
       .dt_min = m.dt_min,
       .dt_max = m.dt_max,
       .heads = m.heads,
       .head_dim = m.head_dim,
       .groups = m.groups,
       .d_state = m.d_state,
       .out = scanned,
       .sequences = batch.states,
       .state_offset = ssm_offset});
  Finish(backend, batch, scanned, projected, residual, buffers);
}

void Mamba2Layer::Project(Backend* backend, const StepBatch& batch, const float* residual,
                          void* projected, Mamba2Buffers* buffers) const {
  const MatMulParams product = {.x = residual,
                                .x_number = Number::kFloat32,
                                .norm = {.weight = norm_->data(), .eps = description_.norm_eps},
                                .w = in_proj_.get(),
                                .bias = DataOrNull(in_proj_bias_),
                                .out = projected,
                                .rows = batch.rows};
  const auto norms = batch.adapters.Norms(
      [this](const ModelAdapter& own) { return own.layers[layer_].mixer_norm.get(); });
  const auto deltas = batch.adapters.Deltas(
      [this](const ModelAdapter& own) { return own.layers[layer_].in.data(); }, 1.0f);
  const ProductDelta delta = {deltas, 0, in_proj_->rows()};
  MultiplyAdapted(backend, product, norms, {&delta, 1}, &buffers->normed);
}

void Mamba2Layer::Finish(Backend* backend, const StepBatch& batch, const void* scanned,
                         const void* projected, float* residual, Mamba2Buffers* buffers) const {
  const MatMulParams product = {.x = scanned,
                                .norm = {.weight = gated_norm_->data(),
                                         .gate = projected,
                                         .gate_stride = description_.mamba2.in_proj_rows(),
                                         .eps = description_.norm_eps},
                                .w = out_proj_.get(),
                                .bias = DataOrNull(out_proj_bias_),
                                .out = residual,
                                .out_number = Number::kFloat32,
                                .rows = batch.rows,
                                .multiplier = description_.multipliers.residual,
                                .accumulate = true};
  const auto norms = batch.adapters.Norms(
      [this](const ModelAdapter& own) { return own.layers[layer_].gated_norm.get(); });
  const auto deltas = batch.adapters.Deltas(
      [this](const ModelAdapter& own) { return &own.layers[layer_].out; }, product.multiplier);
  const ProductDelta delta = {deltas, 0, out_proj_->rows()};
  MultiplyAdapted(backend, product, norms, {&delta, 1}, &buffers->normed);
}

}  // namespace eidetic
