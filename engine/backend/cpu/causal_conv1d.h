// Short depthwise convolution over time, with the state that carries it on.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as CausalConv1dParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_CAUSAL_CONV1D_H_
#define EIDETIC_ENGINE_BACKEND_CPU_CAUSAL_CONV1D_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void CausalConv1d(const CausalConv1dParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_CAUSAL_CONV1D_H_
