// Chooses each chunk's expansion span: the distant blocks most relevant to it.
//
// What: bounds of all distant blocks from the index, the best of them scored exactly, more until
//   the choice is proven or the budget is spent; or one of the simpler rules.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: stats, if any, lives until the queue's Wait, which adds to it. The chunks'
//   tables of pages and tiles are on the device.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_RETRIEVE_SPAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_RETRIEVE_SPAN_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

void RetrieveSpan(const RetrieveSpanParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_RETRIEVE_SPAN_H_
