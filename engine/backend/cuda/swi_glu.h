// The gate of a feed-forward layer: silu(gate) * up.
//
// What: the launcher of SwiGlu. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; any alignment.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SWI_GLU_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SWI_GLU_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void SwiGlu(const SwiGluParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SWI_GLU_H_
