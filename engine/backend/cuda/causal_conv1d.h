// The depthwise convolution over time, on the device.
//
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: as CausalConv1dParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CAUSAL_CONV1D_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_CAUSAL_CONV1D_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

void CausalConv1d(const CausalConv1dParams& params, Context* context);
// Only the sequences that have at least `min_rows` rows in this step.
void CausalConv1dFrom(int64_t min_rows, const CausalConv1dParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CAUSAL_CONV1D_H_
