// Prefill on a device: the SSD scan alone, and the whole model, against their roofs.
//
//   prefill_bench [--device cuda] [--model CONFIG.json|DIR] [--sequences 16] [--tokens 8192]
//
// SSD scan (Dao & Gu 2024, section 6) of one layer; Q is a chunk's 64 tokens, P the head's
// channels, N the state's: FLOPs a token and head = 2 Q P (within the chunk) + 4 N P (from and
// into the state), and 2 Q N a token and group for C B^T. Bytes: x, B, C, dt read and y written
// once, each state read and written. Whole prefill: 2 FLOPs a weight and token, and the scans'.
// Prints `bench` lines; asserts nothing.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "engine/backend/create_backend.h"
#include "engine/model/model_description.h"
#include "glog/logging.h"
#include "memory/bf16.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/measure.h"

ABSL_FLAG(std::string, device, "cuda", "as of eidetic-server");
ABSL_FLAG(std::string, model, "tests/bench/models/B.json", "model folder, or a config.json");
ABSL_FLAG(int32_t, sequences, 16, "sequences of a step");
ABSL_FLAG(int32_t, tokens, 8192, "tokens of each");
ABSL_FLAG(bool, cuda_bf16_state, false, "as of eidetic-server");
ABSL_FLAG(int32_t, runs, 10, "timed runs of the scan");

namespace eidetic::bench {
namespace {

constexpr double kChunk = 64;

double ScanFlops(const Mamba2Description& m, double tokens) {
  const double heads = 2 * kChunk * m.head_dim + 4.0 * m.d_state * m.head_dim;
  return tokens * (m.heads * heads + m.groups * 2 * kChunk * m.d_state);
}

// Device memory with normally distributed numbers in the activation type or in float32.
class Numbers {
 public:
  Numbers(Backend* backend, int64_t count, bool is_float, float scale)
      : backend_(backend), bytes_(count * (is_float ? 4 : backend->activation_bytes())) {
    auto address = backend->arena()->Allocate(bytes_);
    CHECK(address.ok()) << address.status();
    data_ = *address;
    std::mt19937 random(static_cast<uint32_t>(count));
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<std::byte> piece(std::min<size_t>(bytes_, size_t{8} << 20));
    for (size_t i = 0; i < piece.size(); i += is_float ? 4 : 2) {
      const float value = normal(random);
      const memory::Bf16 half = memory::RoundNearest(value);
      if (is_float) {
        std::memcpy(piece.data() + i, &value, 4);
      } else {
        std::memcpy(piece.data() + i, &half, 2);
      }
    }
    for (size_t at = 0; at < bytes_; at += piece.size()) {
      backend->arena()->CopyFromHost(static_cast<std::byte*>(data_) + at, piece.data(),
                                     std::min(piece.size(), bytes_ - at));
    }
  }
  ~Numbers() { backend_->arena()->Free(data_, bytes_); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

  void* data() const { return data_; }
  const float* floats() const { return static_cast<const float*>(data_); }

 private:
  Backend* backend_;
  size_t bytes_;
  void* data_;
};

void BenchScan(Backend* backend, const Mamba2Description& m, const Roofs& roofs) {
  const int64_t sequences = absl::GetFlag(FLAGS_sequences), tokens = absl::GetFlag(FLAGS_tokens);
  const int64_t rows = sequences * tokens;
  const int64_t width = m.conv_channels(), state = int64_t{m.d_inner()} * m.d_state;
  const Numbers xbc(backend, rows * width, false, 0.5f), dt(backend, rows * m.heads, false, 0.5f);
  const Numbers out(backend, rows * m.d_inner(), false, 0.5f);
  const Numbers heads(backend, m.heads, true, 0.5f);
  const Numbers states(backend, 2 * sequences * state, true, 0.1f);
  std::vector<StateSpan> spans;
  for (int64_t s = 0; s < sequences; ++s) {
    auto* slot = static_cast<float*>(states.data()) + 2 * s * state;
    spans.push_back({.row_begin = s * tokens,
                     .row_count = tokens,
                     .state_in = slot,
                     .state_out = slot + state});
  }
  const double seconds = TimeOnBackend(backend, absl::GetFlag(FLAGS_runs), [&] {
    backend->SelectiveScan({.xbc = xbc.data(),
                            .dt = dt.data(),
                            .dt_stride = m.heads,
                            .a_log = heads.floats(),
                            .dt_bias = heads.floats(),
                            .d = heads.floats(),
                            .dt_min = m.dt_min,
                            .dt_max = m.dt_max,
                            .heads = m.heads,
                            .head_dim = m.head_dim,
                            .groups = m.groups,
                            .d_state = m.d_state,
                            .out = out.data(),
                            .sequences = spans});
  });
  const double bytes =
      2.0 * rows * (width + m.heads + m.d_inner()) + 2.0 * sizeof(float) * sequences * state;
  const double flops = ScanFlops(m, rows);
  const double floor =
      std::max(bytes / roofs.copy_bytes_per_second, flops / roofs.product_flops_per_second);
  std::printf(
      "bench name=ssd_prefill sequences=%lld tokens=%lld ms=%.4f gb=%.3f tflop=%.4f "
      "bytes_ms=%.4f flops_ms=%.4f roof_ratio=%.3f\n",
      static_cast<long long>(sequences), static_cast<long long>(tokens), seconds * 1e3, bytes / 1e9,
      flops / 1e12, bytes / roofs.copy_bytes_per_second * 1e3,
      flops / roofs.product_flops_per_second * 1e3, floor / seconds);
  std::fflush(stdout);
}

void BenchModelPrefill(Backend* backend, const Roofs& roofs) {
  const int64_t sequences = absl::GetFlag(FLAGS_sequences), tokens = absl::GetFlag(FLAGS_tokens);
  BenchModel model({.model = absl::GetFlag(FLAGS_model),
                    .max_pages = static_cast<int32_t>(sequences * (tokens / 32 + 64) * 8),
                    .max_state_slots = static_cast<int32_t>(2 * sequences + 2)},
                   backend);
  std::vector<BenchSession> sessions;
  for (int64_t i = 0; i < sequences; ++i) {
    sessions.push_back(model.NewSession(memory::SpanSettings()));
    sessions.back().log.Append(std::vector<memory::TokenId>(tokens, 100 + i));
    CHECK_EQ(sessions.back().memory->Reserve(tokens), absl::OkStatus());
  }
  const double begin = NowSeconds();
  std::vector<double> steps;
  for (double step = begin; model.Prefill(sessions); step = NowSeconds()) {
    steps.push_back(NowSeconds() - step);
  }
  const double seconds = NowSeconds() - begin;
  const ModelDescription& d = model.model().description();
  // The embedding is looked up, not multiplied; no row's logits are wanted.
  const int64_t embeddings = (d.tied_embeddings ? 1 : 2) * int64_t{d.vocab_size} * d.d_model;
  const double rows = static_cast<double>(sequences * tokens);
  const double flops = 2.0 * (model.model().parameter_count() - embeddings) * rows +
                       d.mamba_layers() * ScanFlops(d.mamba2, rows);
  const double step_flops = flops / steps.size();
  std::printf(
      "bench name=prefill model=%s sequences=%lld tokens=%lld steps=%zu seconds=%.3f "
      "tokens_per_second=%.1f median_step_ms=%.3f tflops=%.1f product_ratio=%.3f\n",
      absl::GetFlag(FLAGS_model).c_str(), static_cast<long long>(sequences),
      static_cast<long long>(tokens), steps.size(), seconds, rows / seconds, Median(steps) * 1e3,
      step_flops / Median(steps) / 1e12,
      step_flops / Median(steps) / roofs.product_flops_per_second);
}

void Run() {
  auto created = CreateBackend({.device = absl::GetFlag(FLAGS_device),
                                .cuda = {.bf16_state = absl::GetFlag(FLAGS_cuda_bf16_state)}});
  CHECK(created.ok()) << created.status();
  const Roofs roofs = MeasureRoofs(created->get());
  PrintRoofs(**created, roofs);
  const std::string path = absl::GetFlag(FLAGS_model);
  const auto description =
      std::filesystem::is_directory(path) ? ParseModelConfig(path) : ParseModelConfigFile(path);
  CHECK(description.ok()) << description.status();
  BenchScan(created->get(), description->mamba2, roofs);
  BenchModelPrefill(created->get(), roofs);
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
  return 0;
}
