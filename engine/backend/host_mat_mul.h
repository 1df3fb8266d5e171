// A product's norm and SwiGLU from the plain operations, for backends in host memory.
//
// What: what MatMulParams asks beside the product itself.
// Thread safety: none. Ownership: owns its working memory.
// Preconditions: activations are float32 in host memory; the params were checked.
#ifndef EIDETIC_ENGINE_BACKEND_HOST_MAT_MUL_H_
#define EIDETIC_ENGINE_BACKEND_HOST_MAT_MUL_H_

#include <vector>

#include "engine/backend/backend.h"

namespace eidetic {

class HostMatMul {
 public:
  // `product` computes params that ask for neither norm nor SwiGLU.
  template <typename Product>
  void Run(Backend* backend, const MatMulParams& params, Product product) {
    MatMulParams plain = params;
    if (params.norm.weight != nullptr) plain.x = Normalize(backend, params);
    plain.norm = {};
    if (!params.swiglu) return product(plain);
    const int64_t rows = params.w->rows();
    product_.resize(params.rows * rows);
    plain.swiglu = false;
    plain.out = product_.data();
    product(plain);
    backend->SwiGlu({.gate = product_.data(),
                     .up = product_.data() + rows / 2,
                     .rows = params.rows,
                     .dim = rows / 2,
                     .gate_stride = rows,
                     .up_stride = rows,
                     .out = params.out});
  }

 private:
  const void* Normalize(Backend* backend, const MatMulParams& params) {
    const int64_t dim = params.w->cols();
    normed_.resize(params.rows * dim);
    backend->RmsNorm({.x = params.x,
                      .x_number = params.x_number,
                      .gate = params.norm.gate,
                      .weight = params.norm.weight,
                      .out = normed_.data(),
                      .rows = params.rows,
                      .dim = dim,
                      .x_stride = dim,
                      .gate_stride = params.norm.gate_stride,
                      .eps = params.norm.eps});
    return normed_.data();
  }

  std::vector<float> normed_, product_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_HOST_MAT_MUL_H_
