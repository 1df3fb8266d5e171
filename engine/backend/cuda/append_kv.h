// Keys and values into their pages, then the summaries of the blocks that became complete.
//
// What: the launcher of AppendKv; params.h says the rest. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; pages are aligned to 16.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_APPEND_KV_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_APPEND_KV_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void AppendKv(const AppendKvParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_APPEND_KV_H_
