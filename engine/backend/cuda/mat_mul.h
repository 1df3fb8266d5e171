// Matrix products with the norm before and the SwiGLU behind them.
//
// What: the launcher of MatMul. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; w is a DeviceMatrix.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_MAT_MUL_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_MAT_MUL_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void MatMul(const MatMulParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_MAT_MUL_H_
