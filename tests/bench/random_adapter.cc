#include "tests/bench/random_adapter.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic::bench {
namespace {

constexpr float kDeviation = 0.01f;

}  // namespace

void RandomAdapter::Draw(const std::string& name, std::vector<int64_t> shape, float mean) {
  std::mt19937_64 random(seed_ + std::hash<std::string>()(name));
  std::uniform_real_distribution<float> around(mean - kDeviation, mean + kDeviation);
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  Tensor& tensor = tensors_[name];
  tensor.shape = std::move(shape);
  tensor.values.resize(count);
  for (float& value : tensor.values) value = around(random);
}

void RandomAdapter::DrawDelta(std::string_view pattern, int32_t layer, int64_t outputs,
                              int64_t cols) {
  const std::string name = TensorName(pattern, layer);
  Draw(name + ".lora_A.weight", {rank_, cols}, 0);
  Draw(name + ".lora_B.weight", {outputs, rank_}, 0);
}

RandomAdapter::RandomAdapter(const ModelDescription& description, int32_t rank,
                             bool all_projections, uint64_t seed)
    : rank_(rank), seed_(seed) {
  const TensorNames& names = description.names;
  const AttentionDescription& a = description.attention;
  const Mamba2Description& m = description.mamba2;
  const int64_t dim = description.d_model, q = int64_t{a.q_heads} * a.head_dim;
  const int64_t kv = int64_t{a.kv_heads} * a.head_dim;
  Draw(names.final_norm + ".weight", {dim}, 1);
  for (size_t i = 0; i < description.layers.size(); ++i) {
    const auto layer = static_cast<int32_t>(i);
    Draw(TensorName(names.mixer_norm, layer) + ".weight", {dim}, 1);
    if (!names.mlp_norm.empty()) Draw(TensorName(names.mlp_norm, layer) + ".weight", {dim}, 1);
    if (description.layers[i].mixer == MixerKind::kAttention) {
      DrawDelta(names.q, layer, q, dim);
      DrawDelta(names.k, layer, kv, dim);
      DrawDelta(names.v, layer, kv, dim);
      DrawDelta(names.o, layer, dim, q);
      continue;
    }
    const std::string conv = TensorName(names.conv, layer);
    Draw(conv + ".weight", {m.conv_channels(), m.conv_width}, 0);
    if (m.conv_bias) Draw(conv + ".bias", {m.conv_channels()}, 0);
    Draw(TensorName(names.gated_norm, layer) + ".weight", {m.d_inner()}, 1);
    if (!all_projections) continue;
    DrawDelta(names.in_proj, layer, m.in_proj_rows(), dim);
    DrawDelta(names.out_proj, layer, dim, m.d_inner());
  }
}

AdapterWeights RandomAdapter::Weights() const {
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : tensors_) {
    views[name] = {DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))};
  }
  return AdapterWeights(rank_, 1.0f, std::move(views), absl::StrCat("random ", seed_));
}

}  // namespace eidetic::bench
