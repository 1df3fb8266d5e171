#include "engine/backend/backend_fixture.h"

#include <glog/logging.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "hwy/highway.h"

namespace eidetic {
namespace {

uint16_t ToBf16(float value) {  // to nearest, ties to even
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

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

}  // namespace

std::vector<BackendUnderTest> BackendsUnderTest() {
  std::vector<BackendUnderTest> backends;
  hwy::SetSupportedTargetsForTest(0);
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SCALAR}) {
    if (target != HWY_SCALAR && (hwy::SupportedTargets() & target) == 0) continue;
    backends.push_back(
        {std::string("cpu_") + hwy::TargetName(target), [target] { return CpuOn(target); }});
  }
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

StoredTensor::StoredTensor(const std::vector<float>& values, std::vector<int64_t> shape_in,
                           DType dtype_in)
    : dtype(dtype_in), shape(std::move(shape_in)), bytes(values.size() * DTypeBytes(dtype_in)) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + i * 4, &values[i], 4);
      continue;
    }
    const uint16_t half = dtype == DType::kBF16 ? ToBf16(values[i]) : ToF16(values[i]);
    std::memcpy(bytes.data() + i * 2, &half, 2);
  }
}

OpRun::~OpRun() {
  for (const Buffer& buffer : buffers_) backend_->arena()->Free(buffer.address, buffer.bytes);
}

float* OpRun::Upload(const std::vector<float>& values) {
  const int64_t count = static_cast<int64_t>(values.size());
  auto* to = static_cast<float*>(Zeros(count));
  const StoredTensor tensor(values, {count}, DType::kF32);
  auto vector = backend_->LoadVector(tensor.view());
  CHECK(vector.ok()) << vector.status().ToString();
  backend_->arena()->Copy(to, (*vector)->data(), values.size() * sizeof(float));
  return to;
}

void* OpRun::Zeros(int64_t count) {
  auto address = backend_->arena()->Allocate(count * sizeof(float));
  CHECK(address.ok()) << address.status().ToString();
  buffers_.push_back({*address, count * sizeof(float)});
  return *address;
}

const Matrix* OpRun::Load(const StoredTensor& tensor) {
  auto matrix = backend_->LoadMatrix(tensor.view());
  CHECK(matrix.ok()) << matrix.status().ToString();
  matrices_.push_back(*std::move(matrix));
  return matrices_.back().get();
}

std::vector<float> OpRun::Read(const void* from, int64_t count) {
  std::vector<float> values(count);
  if (count > 0) backend_->CopyToHost(values.data(), from, count * sizeof(float));
  return values;
}

void ExpectWithin(const std::vector<float>& got, const std::vector<float>& want,
                  const std::vector<double>& tolerance) {
  ASSERT_EQ(got.size(), want.size());
  ASSERT_EQ(got.size(), tolerance.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(double{got[i]} - want[i]), tolerance[i])
        << "element " << i << ": " << got[i] << " instead of " << want[i];
  }
}

std::vector<double> Relative(const std::vector<float>& magnitude, double factor) {
  std::vector<double> tolerance;
  for (float value : magnitude) {
    tolerance.push_back(factor * std::abs(value) + std::numeric_limits<float>::min());
  }
  return tolerance;
}

}  // namespace eidetic
