// Rows divided by their root mean square, gated or not.
//
// What: the launcher of RmsNorm, and the norm that a product's input goes through as such.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked; any alignment.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void RmsNorm(const RmsNormParams& params, Context* context);

// The norm that `params` asks for, by itself, written to `out`.
inline RmsNormParams InputNormParams(const MatMulParams& params, void* out) {
  return {.x = params.x,
          .x_number = params.x_number,
          .gate = params.norm.gate,
          .weight = params.norm.weight,
          .out = out,
          .rows = params.rows,
          .dim = params.w->cols(),
          .x_stride = params.w->cols(),
          .gate_stride = params.norm.gate_stride,
          .eps = params.norm.eps};
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_RMS_NORM_H_
