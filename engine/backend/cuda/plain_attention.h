// Attention of any shape in either precision, and the span's softmax mass: correct, not fast.
//
// What: launches the plain kernels for the picked requests. Angles are computed where they are
//   used, in float32 as the CPU backend computes them.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked. SpanMass runs after attention has written args.lse.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PLAIN_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_PLAIN_ATTENTION_H_

#include <cstdint>

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

struct SpanArgs;

// `max_rows`: of the picked requests' chunks.
void PlainAttention(const SpanArgs& args, int64_t max_rows, Precision precision,
                    LaunchQueue* queue);

// Fills request.mass of the picked requests. Scores are computed once more, so only requests
// that want it should be picked.
void SpanMass(const SpanArgs& args, Precision precision, LaunchQueue* queue);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PLAIN_ATTENTION_H_
