#include "engine/model/random_weights.h"

#include <glog/logging.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/model/sha256.h"

namespace eidetic {
namespace {

using Generator = std::mt19937_64;

constexpr float kDeviation = 0.02f;
// Windows begin at one of 2^20 places, each at a cache line.
constexpr int64_t kWindowStep = 32;
constexpr int64_t kSpareElements = (int64_t{64} << 20) / sizeof(uint16_t);

// Nearly normal with deviation 1: the sum of four uniform bytes.
float Normal(uint32_t bits) {
  constexpr float kSumDeviation = 147.7994f;  // sqrt(4 * (256^2 - 1) / 12)
  const uint32_t sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24);
  return (static_cast<float>(sum) - 510.0f) / kSumDeviation;
}

double Uniform(Generator& random, double low, double high) {
  return low + (high - low) * (static_cast<double>(random() >> 11) * 0x1p-53);
}

// What a bf16 drops is below what random numbers are drawn for: cut, not rounded.
uint16_t ToBf16(float value) { return std::bit_cast<uint32_t>(value) >> 16; }

// A number that depends on all bits of both.
uint64_t Mix(uint64_t seed, std::string_view name) {
  Sha256 hash;
  hash.Add(std::as_bytes(std::span(&seed, 1)));
  hash.Add(std::as_bytes(std::span(name)));
  uint64_t mixed = 0;
  std::memcpy(&mixed, hash.Finish().data(), sizeof(mixed));
  return mixed;
}

std::vector<uint16_t> DrawPool(int64_t elements, uint64_t seed) {
  std::vector<uint16_t> pool(elements + elements % 2);
  Generator random(seed);
  for (size_t i = 0; i < pool.size(); i += 2) {
    const uint64_t bits = random();
    pool[i] = ToBf16(kDeviation * Normal(static_cast<uint32_t>(bits)));
    pool[i + 1] = ToBf16(kDeviation * Normal(static_cast<uint32_t>(bits >> 32)));
  }
  return pool;
}

int64_t QkvRows(const AttentionDescription& attention) {
  return (attention.q_heads + int64_t{2} * attention.kv_heads) * attention.head_dim;
}

int64_t LargestMatrix(const ModelDescription& model) {
  const int64_t rows = std::max<int64_t>(
      {model.vocab_size, model.mlp_dim, model.mamba2.in_proj_rows(), QkvRows(model.attention)});
  return rows * model.d_model;
}

// At least what DrawVectors draws.
int64_t VectorElements(const ModelDescription& model) {
  const Mamba2Description& mamba = model.mamba2;
  const int64_t mamba_layer = int64_t{mamba.conv_channels()} * mamba.conv_width + mamba.d_inner() +
                              int64_t{3} * mamba.heads;
  const int64_t attention_layer = QkvRows(model.attention) * model.attention.conv_width;
  return (2 * static_cast<int64_t>(model.layers.size()) + 1) * model.d_model +
         model.mamba_layers() * mamba_layer + model.attention_layers() * attention_layer;
}

absl::Status CheckBytes(const char* what, int64_t bytes, int64_t limit) {
  if (bytes <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("random weights: ", what, " of ", bytes,
                                                 " bytes exceed the limit of ", limit,
                                                 "; make the config's dimensions smaller"));
}

float DrawNorm(Generator& random) { return static_cast<float>(Uniform(random, 0.9, 1.1)); }
float DrawALog(Generator& random) { return static_cast<float>(std::log(Uniform(random, 1, 16))); }

// The inverse of softplus at a dt that is log-uniform.
float DrawDtBias(Generator& random) {
  const double dt = std::exp(Uniform(random, std::log(0.001), std::log(0.1)));
  return static_cast<float>(dt + std::log(-std::expm1(-dt)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RandomWeights>> RandomWeights::Create(
    const ModelDescription& description, uint64_t seed, const RandomWeightsLimits& limits) {
  absl::Status status = CheckBytes("a matrix", LargestMatrix(description) * sizeof(uint16_t),
                                   limits.max_matrix_bytes);
  status.Update(
      CheckBytes("vectors", VectorElements(description) * sizeof(float), limits.max_vector_bytes));
  if (!status.ok()) return status;
  return std::unique_ptr<RandomWeights>(new RandomWeights(description, seed));
}

RandomWeights::RandomWeights(const ModelDescription& description, uint64_t seed)
    : seed_(seed),
      parameters_(ParameterCount(description)),
      pool_(DrawPool(LargestMatrix(description) + kSpareElements, Mix(seed, "pool"))) {
  DrawVectors(description);
}

void RandomWeights::DrawVectors(const ModelDescription& model) {
  const auto draw = [this](const std::string& name, int64_t elements,
                           const std::function<float(Generator&)>& next) {
    Generator random(Mix(seed_, name));
    std::vector<float>& vector = vectors_[name];
    vector.resize(elements);
    for (float& value : vector) value = next(random);
  };
  const auto draw_conv = [&draw](const std::string& name, int64_t channels, int32_t width) {
    const float deviation = 1 / std::sqrt(static_cast<float>(width));
    draw(name, channels * width, [deviation](Generator& random) {
      return deviation * Normal(static_cast<uint32_t>(random()));
    });
  };
  const TensorNames& names = model.names;
  const Mamba2Description& mamba = model.mamba2;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto name = [i](const std::string& pattern) {
      return TensorName(pattern, static_cast<int32_t>(i));
    };
    draw(name(names.mixer_norm) + ".weight", model.d_model, DrawNorm);
    if (model.mlp_dim > 0) draw(name(names.mlp_norm) + ".weight", model.d_model, DrawNorm);
    if (model.layers[i].mixer == MixerKind::kMamba2) {
      draw(name(names.a_log), mamba.heads, DrawALog);
      draw(name(names.dt_bias), mamba.heads, DrawDtBias);
      draw(name(names.d), mamba.heads, [](Generator&) { return 1.0f; });
      draw(name(names.gated_norm) + ".weight", mamba.d_inner(), DrawNorm);
      draw_conv(name(names.conv) + ".weight", mamba.conv_channels(), mamba.conv_width);
    } else if (model.attention.conv_width > 0) {
      draw_conv(name(names.qkv_conv) + ".weight", QkvRows(model.attention),
                model.attention.conv_width);
    }
  }
  draw(names.final_norm + ".weight", model.d_model, DrawNorm);
}

absl::StatusOr<TensorView> RandomWeights::Get(std::string_view name,
                                              std::span<const int64_t> shape) const {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  TensorView view;
  view.shape.assign(shape.begin(), shape.end());
  if (const auto vector = vectors_.find(std::string(name)); vector != vectors_.end()) {
    CHECK_EQ(elements, static_cast<int64_t>(vector->second.size())) << name;
    view.data = std::as_bytes(std::span(vector->second));
    return view;
  }
  CHECK_LE(elements, static_cast<int64_t>(pool_.size()) - kSpareElements) << name;
  const uint64_t begin = Mix(seed_, name) % (kSpareElements / kWindowStep) * kWindowStep;
  view.dtype = DType::kBF16;
  view.data = std::as_bytes(std::span(pool_).subspan(begin, elements));
  return view;
}

std::string RandomWeights::ContentHash() const {
  Sha256 hash;
  hash.Add(std::as_bytes(std::span(&seed_, 1)));
  hash.Add(std::as_bytes(std::span(&parameters_, 1)));
  for (const auto& [name, vector] : vectors_) {
    hash.Add(std::as_bytes(std::span(name)));
    hash.Add(std::as_bytes(std::span(vector)));
  }
  return absl::BytesToHexString(hash.Finish());
}

}  // namespace eidetic
