// The gate of a feed-forward layer: silu(gate) * up.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as SwiGluParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SWI_GLU_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SWI_GLU_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void SwiGlu(const SwiGluParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SWI_GLU_H_
