// Rows of the embedding table, widened to the float32 residual stream.
//
// What: the launcher of Embed. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; the table is a DeviceMatrix.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_EMBED_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_EMBED_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void Embed(const EmbedParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_EMBED_H_
