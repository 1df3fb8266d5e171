// Draws the next tokens, and scores given ones, on the device.
//
// What: both record one launch, more only for thousands of rows or adjustments; results reach
//   params.out within LaunchQueue::Wait. A row's result is bitwise the same whatever other rows
//   there are.
// Thread safety: as LaunchQueue. Ownership: borrows everything; params.out's memory must live
//   until Wait, the rest of the params may go at once.
// Preconditions: as SampleTokensParams and ScoreTokensParams say; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_TOKENS_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_TOKENS_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void SampleTokens(const SampleTokensParams& params, Context* context);
void ScoreTokens(const ScoreTokensParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SAMPLE_TOKENS_H_
