// Deltas of low rank that adapters add to a product.
//
// What: the launcher of LowRank. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; any alignment.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_LOW_RANK_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_LOW_RANK_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void LowRank(const LowRankParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_LOW_RANK_H_
