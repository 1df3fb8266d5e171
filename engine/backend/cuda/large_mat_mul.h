// Products of many rows, bound by the matrix units: what prefill runs.
//
// What: bf16 products through cuBLAS, then the bias. A row's bits may depend on the number of rows.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked and ask for neither norm nor SwiGLU; precision is kBf16.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_LARGE_MAT_MUL_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_LARGE_MAT_MUL_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void LargeMatMul(const MatMulParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_LARGE_MAT_MUL_H_
