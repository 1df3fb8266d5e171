// Root-mean-square normalisation, plain and gated.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as RmsNormParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_RMS_NORM_H_
#define EIDETIC_ENGINE_BACKEND_CPU_RMS_NORM_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void RmsNorm(const RmsNormParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_RMS_NORM_H_
