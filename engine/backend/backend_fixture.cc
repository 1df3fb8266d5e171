#include "engine/backend/backend_fixture.h"

#include <glog/logging.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cuda/loader.h"
#include "hwy/highway.h"
#include "memory/bf16.h"

namespace eidetic {
namespace {

// Normal numbers of fp16's range only; the mantissa is cut.
uint16_t ToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const int exponent = static_cast<int>((bits >> 23) & 255) - 112;
  const uint32_t sign = (bits >> 16) & 0x8000;
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  return static_cast<uint16_t>(sign | exponent << 10 | ((bits >> 13) & 1023));
}

std::unique_ptr<Backend> CpuOn(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(target);
  std::unique_ptr<Backend> backend = CreateCpuBackend({.threads = 2});
  CHECK_EQ(backend->name(),
           absl::StrCat("cpu (", absl::AsciiStrToLower(hwy::TargetName(target)), ", 2 threads)"));
  return backend;
}

constexpr size_t kCudaMemoryBytes = size_t{4} << 30;

// Also probes: the first of these tells whether the others can be had.
absl::StatusOr<std::unique_ptr<Backend>> CudaOn(CudaBackendOptions options) {
  options.memory_bytes = kCudaMemoryBytes;
  return LoadCudaBackend(options);
}

BackendUnderTest Cuda(const char* name, const CudaBackendOptions& options) {
  const auto create = [=] {
    auto backend = CudaOn(options);
    CHECK(backend.ok()) << backend.status().ToString();
    return *std::move(backend);
  };
  return {.name = name, .create = create, .rounds = 3, .fast_exponential = true};
}

void AddCuda(std::vector<BackendUnderTest>* backends) {
  const absl::Status status = CudaOn({.float32 = true}).status();
  if (status.ok()) {
    backends->push_back(Cuda("cuda_float32", {.float32 = true}));
    backends->push_back(Cuda("cuda_bf16", {}));
    backends->push_back(Cuda("cuda_bf16_invariant", {.batch_invariant = true}));
    backends->push_back(Cuda("cuda_bf16_state", {.bf16_state = true}));
    return;
  }
  const char* required = std::getenv("EIDETIC_REQUIRE_GPU");
  CHECK(required == nullptr || std::string(required) != "1")
      << "EIDETIC_REQUIRE_GPU=1, but " << status.ToString();
  std::cout << "CUDA tests skipped: " << status.message() << std::endl;
}

std::vector<BackendUnderTest> FindBackends() {
  std::vector<BackendUnderTest> backends;
  hwy::SetSupportedTargetsForTest(0);
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SCALAR}) {
    if (target != HWY_SCALAR && (hwy::SupportedTargets() & target) == 0) continue;
    backends.push_back({.name = std::string("cpu_") + hwy::TargetName(target),
                        .create = [target] { return CpuOn(target); }});
  }
  AddCuda(&backends);
  return backends;
}

// The error in tolerances; not a number counts as endless.
double ErrorRatio(float got, float want, double tolerance) {
  const double ratio = std::abs(double{got} - want) / tolerance;
  return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
}

}  // namespace

std::vector<BackendUnderTest> BackendsUnderTest() {
  static const auto& backends = *new std::vector<BackendUnderTest>(FindBackends());
  return backends;
}

std::string BackendName(const ::testing::TestParamInfo<BackendUnderTest>& info) {
  return info.param.name;
}

std::vector<float> Random(int64_t count, uint64_t seed, float scale) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<float> Abs(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

double MaxAbs(const std::vector<float>& values) {
  double largest = 0;
  for (float value : values) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

std::vector<float> RoundedToBf16(std::vector<float> values) {
  for (float& value : values) value = memory::Widen(memory::RoundNearest(value));
  return values;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

StoredTensor::StoredTensor(const std::vector<float>& values, std::vector<int64_t> shape_in,
                           DType dtype_in)
    : dtype(dtype_in), shape(std::move(shape_in)), bytes(values.size() * DTypeBytes(dtype_in)) {
  if (dtype == DType::kF32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half =
        dtype == DType::kBF16 ? memory::RoundNearest(values[i]) : ToF16(values[i]);
    std::memcpy(bytes.data() + i * 2, &half, 2);
  }
}

void OpRun::Reset() {
  Synchronize();
  for (const Buffer& buffer : buffers_) backend_->arena()->Free(buffer.address, buffer.bytes);
  buffers_.clear();
  matrices_.clear();
  Again();
}

float* OpRun::Floats(const std::vector<float>& values) {
  void* to = Zeros(static_cast<int64_t>(values.size()));
  backend_->arena()->CopyFromHost(to, values.data(), values.size() * sizeof(float));
  return static_cast<float*>(to);
}

void* OpRun::Activations(const std::vector<float>& values) {
  if (!bf16()) return Floats(values);
  const StoredTensor stored(values, {static_cast<int64_t>(values.size())}, DType::kBF16);
  void* to = Bytes(stored.bytes.size());
  backend_->arena()->CopyFromHost(to, stored.bytes.data(), stored.bytes.size());
  return to;
}

int32_t* OpRun::Ints(const std::vector<int32_t>& values) {
  void* to = Zeros(static_cast<int64_t>(values.size()));
  backend_->arena()->CopyFromHost(to, values.data(), values.size() * sizeof(int32_t));
  return static_cast<int32_t*>(to);
}

void* const* OpRun::Addresses(const std::vector<void*>& addresses) {
  const size_t bytes = addresses.size() * sizeof(void*);
  void* to = Bytes(bytes);
  backend_->arena()->CopyFromHost(to, addresses.data(), bytes);
  return static_cast<void* const*>(to);
}

void* OpRun::Bytes(size_t bytes) {
  if (next_buffer_ < buffers_.size()) {
    const Buffer& buffer = buffers_[next_buffer_++];
    CHECK_EQ(buffer.bytes, bytes) << "not what was asked for the first time";
    backend_->arena()->Zero(buffer.address, bytes);
    return buffer.address;
  }
  auto address = backend_->arena()->Allocate(bytes);
  CHECK(address.ok()) << address.status().ToString();
  buffers_.push_back({*address, bytes});
  ++next_buffer_;
  return *address;
}

const Matrix* OpRun::Load(const StoredTensor& tensor) {
  if (next_matrix_ < matrices_.size()) {
    const Matrix* matrix = matrices_[next_matrix_++].get();
    CHECK(matrix->rows() == tensor.shape[0] && matrix->cols() == tensor.shape[1]);
    return matrix;
  }
  auto matrix = backend_->LoadMatrix(tensor.view());
  CHECK(matrix.ok()) << matrix.status().ToString();
  matrices_.push_back(*std::move(matrix));
  ++next_matrix_;
  return matrices_.back().get();
}

std::vector<float> OpRun::ReadFloats(const void* from, int64_t count) {
  std::vector<float> values(count);
  if (count > 0) backend_->CopyToHost(values.data(), from, count * sizeof(float));
  return values;
}

std::vector<float> OpRun::ReadActivations(const void* from, int64_t count) {
  if (!bf16()) return ReadFloats(from, count);
  std::vector<memory::Bf16> stored(count);
  if (count > 0) backend_->CopyToHost(stored.data(), from, count * sizeof(memory::Bf16));
  std::vector<float> values;
  for (memory::Bf16 value : stored) values.push_back(memory::Widen(value));
  return values;
}

std::vector<int32_t> OpRun::ReadInts(const void* from, int64_t count) {
  std::vector<int32_t> values(count);
  if (count > 0) backend_->CopyToHost(values.data(), from, count * sizeof(int32_t));
  return values;
}

void OpRun::Synchronize() {
  const absl::Status status = backend_->Synchronize();
  CHECK(status.ok()) << status.ToString();
}

void BackendCases::EachRound(
    const std::function<std::vector<float>(uint64_t round)>& run,
    const std::function<void(uint64_t round, const std::vector<float>& got)>& check) {
  std::vector<float> first;
  tested_.Reset();
  oracle_.Reset();
  for (int round = 0; round < GetParam().rounds; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    tested_.Again();
    oracle_.Again();
    const std::vector<float> got = run(round);
    check(round, got);
    if (HasFatalFailure()) return;
    if (round == 0) first = got;
  }
  tested_.Again();
  EXPECT_TRUE(SameBits(run(0), first)) << "the same inputs gave other bits";
}

void ExpectWithin(const char* name, const std::vector<float>& got, const std::vector<float>& want,
                  const std::vector<double>& tolerance) {
  ASSERT_EQ(got.size(), want.size()) << name;
  ASSERT_EQ(got.size(), tolerance.size()) << name;
  size_t worst = 0, outside = 0;
  double largest = -1;
  for (size_t i = 0; i < got.size(); ++i) {
    const double ratio = ErrorRatio(got[i], want[i], tolerance[i]);
    outside += ratio > 1;
    if (ratio <= largest) continue;
    largest = ratio;
    worst = i;
  }
  ::testing::Test::RecordProperty(name, absl::StrCat(largest));
  ASSERT_EQ(outside, 0u) << name << ": " << outside << " of " << got.size()
                         << " elements are outside; the worst, " << worst << ", is " << got[worst]
                         << " instead of " << want[worst] << ", which is " << largest
                         << " tolerances";
}

std::vector<double> Relative(const std::vector<float>& magnitude, double factor) {
  std::vector<double> tolerance;
  for (float value : magnitude) {
    tolerance.push_back(factor * std::abs(value) + std::numeric_limits<float>::min());
  }
  return tolerance;
}

std::vector<double> AndRounded(std::vector<double> tolerance, const std::vector<float>& want,
                               double rounding) {
  for (size_t i = 0; i < tolerance.size(); ++i) {
    tolerance[i] += rounding * (std::abs(want[i]) + tolerance[i]);
  }
  return tolerance;
}

}  // namespace eidetic
