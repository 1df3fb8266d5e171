// What a CUDA backend is asked for.
//
// Thread safety: plain values. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CUDA_OPTIONS_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_CUDA_OPTIONS_H_

#include <cstddef>
#include <cstdint>

namespace eidetic {

struct CudaBackendOptions {
  int32_t device = 0;
  // Device memory for weights, pages, index, states and activations; 0: what is free, less a
  // reserve for the libraries.
  size_t memory_bytes = 0;
  bool float32 = false;          // activations, weights, keys and values in float32: slow, exact
  bool batch_invariant = false;  // a token never depends on what else is in the batch, bitwise
  // SSM states in bf16, rounded at the end of each step: tokens then depend on how a prompt was
  // cut into steps. Not with float32 or batch_invariant.
  bool bf16_state = false;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CUDA_OPTIONS_H_
