#include "tests/bench/measure.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "memory/bf16.h"

namespace eidetic::bench {
namespace {

// Far larger than any cache; a product that fills any device.
constexpr size_t kCopyBytes = size_t{4} << 30;
constexpr int64_t kProductDim = 8192;
constexpr int kRoofRuns = 20;

void* Allocate(Backend* backend, size_t bytes) {
  auto address = backend->arena()->Allocate(bytes);
  CHECK(address.ok()) << address.status();
  return *address;
}

double CopyRate(Backend* backend) {
  void* from = Allocate(backend, kCopyBytes);
  void* to = Allocate(backend, kCopyBytes);
  const double seconds =
      TimeOnBackend(backend, kRoofRuns, [&] { backend->arena()->Copy(to, from, kCopyBytes); });
  backend->arena()->Free(from, kCopyBytes);
  backend->arena()->Free(to, kCopyBytes);
  return 2.0 * kCopyBytes / seconds;
}

double ProductRate(Backend* backend) {
  // Random numbers: a product of zeros runs faster than any real one.
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  std::vector<memory::Bf16> values(kProductDim * kProductDim);
  for (memory::Bf16& value : values) value = memory::RoundNearest(normal(random));
  const TensorView view{DType::kBF16,
                        {kProductDim, kProductDim},
                        std::as_bytes(std::span<const memory::Bf16>(values))};
  auto w = backend->LoadMatrix(view);
  CHECK(w.ok()) << w.status();
  const size_t bytes = values.size() * backend->activation_bytes();
  void* x = Allocate(backend, bytes);
  void* out = Allocate(backend, bytes);
  backend->arena()->CopyFromHost(x, values.data(), values.size() * sizeof(memory::Bf16));
  const double seconds = TimeOnBackend(backend, kRoofRuns, [&] {
    backend->MatMul({.x = x, .w = w->get(), .out = out, .rows = kProductDim});
  });
  backend->arena()->Free(x, bytes);
  backend->arena()->Free(out, bytes);
  return 2.0 * std::pow(static_cast<double>(kProductDim), 3) / seconds;
}

}  // namespace

double NowSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Quantile(std::vector<double> values, double share) {
  CHECK(!values.empty());
  const size_t at = std::min(values.size() - 1, static_cast<size_t>(share * values.size()));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[at];
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double TimeOnBackend(Backend* backend, int runs, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int run = -2; run < runs; ++run) {
    CHECK_EQ(backend->Synchronize(), absl::OkStatus());
    const double begin = NowSeconds();
    work();
    CHECK_EQ(backend->Synchronize(), absl::OkStatus());
    if (run >= 0) seconds.push_back(NowSeconds() - begin);
  }
  return Median(std::move(seconds));
}

Roofs MeasureRoofs(Backend* backend) { return {CopyRate(backend), ProductRate(backend)}; }

void PrintRoofs(const Backend& backend, const Roofs& roofs) {
  std::printf("bench name=roofs device=\"%s\" copy_bytes_per_second=%.4g product_flops=%.4g\n",
              backend.name().c_str(), roofs.copy_bytes_per_second, roofs.product_flops_per_second);
  std::fflush(stdout);
}

}  // namespace eidetic::bench
