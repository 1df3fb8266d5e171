// Products of up to four rows with a large W, bound by streaming W once from memory.
//
// What: as SkinnyMatMul, for weights that memory takes longer to send than a kernel takes to
//   start; its sums are added in another order.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked; SkinnyMatMulTakes and SkinnyRingTakes; with a norm also
//   SkinnyRingNorms.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

// Never when batch-invariant: more rows go another way.
bool SkinnyRingTakes(const MatMulParams& params, const Context& context);
// Whether the norm is best done within the product: else RmsNorm, which gives the same bits, first.
bool SkinnyRingNorms(const MatMulParams& params);
void SkinnyRing(const MatMulParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_RING_H_
