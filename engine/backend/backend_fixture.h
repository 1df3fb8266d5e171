// What the op tables need: the backends to try, inputs for them, and how far apart two may be.
//
// Thread safety: none. Ownership: an OpRun owns its backend and every buffer.
// Preconditions: stated per member.
#ifndef EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_
#define EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/reference_backend.h"

namespace eidetic {

struct BackendUnderTest {
  std::string name;
  std::function<std::unique_ptr<Backend>()> create;
  // How often a case runs on the same buffers with other inputs. A device runs a list of
  // launches plainly at first, then records it, then replays the record.
  int rounds = 1;
  bool fast_exponential = false;  // the device's own, see SiluError
};

inline void PrintTo(const BackendUnderTest& backend, std::ostream* out) { *out << backend.name; }

// The CPU backend on every instruction set that it was built for and that this machine has, and
// the CUDA backend in its precisions where library, driver and device are there. If they are
// not, a line says why; with EIDETIC_REQUIRE_GPU=1 that is a failure.
std::vector<BackendUnderTest> BackendsUnderTest();
std::string BackendName(const ::testing::TestParamInfo<BackendUnderTest>& info);

// Unit roundoff of float32, and of bfloat16: half the distance from 1 to the next number.
inline constexpr double kEps = 0x1p-24;
inline constexpr double kBf16Eps = 0x1p-8;

// `count` normally distributed numbers, a function of `seed`.
std::vector<float> Random(int64_t count, uint64_t seed, float scale = 1.0f);
std::vector<float> Abs(std::vector<float> values);
double MaxAbs(const std::vector<float>& values);
std::vector<float> RoundedToBf16(std::vector<float> values);
bool SameBits(const std::vector<float>& a, const std::vector<float>& b);

// A stored tensor of `dtype` with `values` rounded to it.
struct StoredTensor {
  StoredTensor(const std::vector<float>& values, std::vector<int64_t> shape, DType dtype);
  TensorView view() const { return {dtype, shape, bytes}; }

  DType dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

// One backend with its buffers. Operations may be asynchronous: what params point to on the host
// must live until something was read or Synchronize was called.
class OpRun {
 public:
  explicit OpRun(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}
  ~OpRun() { Reset(); }
  OpRun(const OpRun&) = delete;
  OpRun& operator=(const OpRun&) = delete;

  Backend* operator->() { return backend_.get(); }
  bool bf16() const { return backend_->activation_bytes() == 2; }

  // Writable copies in the backend's memory: as float32, or in its activation type.
  float* Floats(const std::vector<float>& values);
  void* Activations(const std::vector<float>& values);
  void* Numbers(Number number, const std::vector<float>& values) {
    return number == Number::kFloat32 ? Floats(values) : Activations(values);
  }
  int32_t* Ints(const std::vector<int32_t>& values);
  // A table of addresses in the backend's memory.
  void* const* Addresses(const std::vector<void*>& addresses);
  // Zeros in the backend's memory: `count` float32 or int32; activations; bytes.
  void* Zeros(int64_t count) { return Bytes(count * sizeof(float)); }
  void* ActivationZeros(int64_t count) { return Bytes(count * backend_->activation_bytes()); }
  void* Bytes(size_t bytes);
  const Matrix* Load(const StoredTensor& tensor);
  // Activation number `count` from there on.
  void* After(void* activations, int64_t count) const {
    return static_cast<std::byte*>(activations) + count * backend_->activation_bytes();
  }

  std::vector<float> ReadFloats(const void* from, int64_t count);
  std::vector<float> ReadActivations(const void* from, int64_t count);
  std::vector<float> ReadNumbers(Number number, const void* from, int64_t count) {
    return number == Number::kFloat32 ? ReadFloats(from, count) : ReadActivations(from, count);
  }
  std::vector<int32_t> ReadInts(const void* from, int64_t count);
  void Synchronize();

  // From here on the same buffers and matrices are given out again, in the same order: an
  // operation called as before then has the same arguments. Asked for must be the same sizes
  // (CHECKed) and matrices.
  void Again() { next_buffer_ = next_matrix_ = 0; }
  // Frees everything.
  void Reset();

 private:
  struct Buffer {
    void* address;
    size_t bytes;
  };
  std::unique_ptr<Backend> backend_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Matrix>> matrices_;
  size_t next_buffer_ = 0, next_matrix_ = 0;
};

// A table's cases: a backend under test beside the oracle.
class BackendCases : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  // What the tested backend makes of activations and weights when it stores them. Both sides are
  // given this, so that a difference is never the inputs'.
  std::vector<float> Stored(std::vector<float> values) const {
    return tested_.bf16() ? RoundedToBf16(std::move(values)) : values;
  }
  // Unit roundoff of activations that the tested backend writes; 0 where that is float32's, which
  // every tolerance counts already.
  double Rounding() const { return tested_.bf16() ? kBf16Eps : 0; }
  // Relative error of silu(x), for |x| up to `largest`, beyond a few roundings. The device's
  // exponential is off by 2 + 1.173 |x| units in the last place (CUDA C++ Programming Guide,
  // intrinsic functions); a unit is 2 kEps, and a sigmoid passes it on.
  double SiluError(double largest) const {
    return GetParam().fast_exponential ? (4 + 2.4 * largest) * kEps : 0;
  }

  // `run` computes on the tested backend what `check` compares: for each round on the same
  // buffers with that round's inputs, and at last round 0 again, which must give the same bits.
  // Weights must be the same in all rounds; both must ask for buffers in a fixed order.
  void EachRound(const std::function<std::vector<float>(uint64_t round)>& run,
                 const std::function<void(uint64_t round, const std::vector<float>& got)>& check);

  OpRun tested_{GetParam().create()};
  OpRun oracle_{CreateReferenceBackend()};
};

// Of case `name`: got[i] is within tolerance[i] of want[i], for all i. Records the largest error
// in tolerances as a property of the test.
void ExpectWithin(const char* name, const std::vector<float>& got, const std::vector<float>& want,
                  const std::vector<double>& tolerance);
// tolerance[i] = factor * |magnitude[i]| + the smallest normal number.
std::vector<double> Relative(const std::vector<float>& magnitude, double factor);
// The same, and rounding * (|want[i]| + tolerance[i]) for the rounding of the output itself.
std::vector<double> AndRounded(std::vector<double> tolerance, const std::vector<float>& want,
                               double rounding);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_BACKEND_FIXTURE_H_
