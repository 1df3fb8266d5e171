// Products of one row with a large W, bound by streaming W once from memory.
//
// What: as SkinnyRing, for a row alone; its sums are added in another order.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked; SkinnyRowTakes; with a norm also SkinnyRingNorms.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

// Of products that SkinnyRingTakes. The others' x leaves the weights too little shared memory.
bool SkinnyRowTakes(const MatMulParams& params);
void SkinnyRow(const MatMulParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SKINNY_ROW_H_
