// What every operation on the device is given beside its params.
//
// Thread safety: as LaunchQueue. Ownership: the backend owns everything here.
// Preconditions: the device is current on the calling thread.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CONTEXT_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_CONTEXT_H_

#include <cublas_v2.h>

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/launch_queue.h"
#include "engine/backend/cuda/scratch.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

class RopeTable;

// The type of activations, keys and values; weights are stored in it too.
enum class Precision : uint8_t {
  kBf16,     // what serving uses; accumulation, residual, states and logits are float32
  kFloat32,  // for comparison with the CPU backend; no TF32 anywhere
};

struct Context {
  LaunchQueue* queue = nullptr;
  // Working memory of the operation under way, and of no other.
  Scratch* scratch = nullptr;
  cublasHandle_t cublas = nullptr;
  RopeTable* rope = nullptr;
  Precision precision = Precision::kBf16;
  int32_t processors = 0;  // multiprocessors of the device
  // A row's result must not depend on the other rows: fixed tiles and orders of summation.
  bool batch_invariant = false;
  bool bf16_state = false;  // SSM states are bf16, not float32
};

// A weight matrix on the device, row-major [rows, cols], in the context's precision.
class DeviceMatrix : public Matrix {
 public:
  const void* data() const { return data_; }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }

 protected:
  DeviceMatrix(const void* data, int64_t rows, int64_t cols)
      : data_(data), rows_(rows), cols_(cols) {}

 private:
  const void* data_;
  int64_t rows_, cols_;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CONTEXT_H_
