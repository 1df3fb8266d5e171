// What the op tables need: the backends to try, and inputs for them.
//
// Thread safety: none. Ownership: an OpRun owns its backend and every buffer.
// Preconditions: activations are float32.
#ifndef EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_
#define EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/backend/backend.h"

namespace eidetic {

struct BackendUnderTest {
  std::string name;
  std::function<std::unique_ptr<Backend>()> create;
};

inline void PrintTo(const BackendUnderTest& backend, std::ostream* out) { *out << backend.name; }

// The CPU backend on every instruction set that it was built for and that this
// machine has. A new backend is one more entry.
std::vector<BackendUnderTest> BackendsUnderTest();
std::string BackendName(const ::testing::TestParamInfo<BackendUnderTest>& info);

// Unit roundoff of float32.
inline constexpr double kEps = 0x1p-24;

// `count` normally distributed numbers, a function of `seed`.
std::vector<float> Random(int64_t count, uint64_t seed, float scale = 1.0f);
std::vector<float> Abs(std::vector<float> values);

// A stored tensor of `dtype` with `values` rounded to it.
struct StoredTensor {
  StoredTensor(const std::vector<float>& values, std::vector<int64_t> shape, DType dtype);
  TensorView view() const { return {dtype, shape, bytes}; }

  DType dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

// One backend with its buffers.
class OpRun {
 public:
  explicit OpRun(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}
  ~OpRun();
  OpRun(const OpRun&) = delete;
  OpRun& operator=(const OpRun&) = delete;

  Backend& backend() { return *backend_; }
  Backend* operator->() { return backend_.get(); }
  // A writable copy in the backend's memory.
  float* Upload(const std::vector<float>& values);
  // `count` zeros (float32 or int32) in the backend's memory.
  void* Zeros(int64_t count);
  const Matrix* Load(const StoredTensor& tensor);
  std::vector<float> Read(const void* from, int64_t count);

 private:
  struct Buffer {
    void* address;
    size_t bytes;
  };
  std::unique_ptr<Backend> backend_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Matrix>> matrices_;
};

// got[i] is within tolerance[i] of want[i], for all i.
void ExpectWithin(const std::vector<float>& got, const std::vector<float>& want,
                  const std::vector<double>& tolerance);
// tolerance[i] = factor * |magnitude[i]| + the smallest normal number.
std::vector<double> Relative(const std::vector<float>& magnitude, double factor);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_
