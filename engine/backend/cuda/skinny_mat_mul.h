// Products of a few rows, bound by streaming the weights once: what decoding runs.
//
// What: bf16 products through tensor cores, with norm and SwiGLU inside; a row's result is
//   bitwise the same whatever the number of rows and wherever among them it stands.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked; SkinnyMatMulTakes; with a norm also SkinnyMatMulNorms.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

// Up to here the weights' bytes decide; beyond, a large product reads them no more often.
inline constexpr int64_t kSkinnyRows = 16;

// Whether the shapes and addresses suit; any number of rows does. Does not look at params.norm.
bool SkinnyMatMulTakes(const MatMulParams& params, const Context& context);
// Whether the norm is best done within the product: else RmsNorm, which gives the same bits, first.
bool SkinnyMatMulNorms(const MatMulParams& params);
void SkinnyMatMul(const MatMulParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_MAT_MUL_H_
