// Writes new keys and values into their pages.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as AppendKvParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_APPEND_KV_H_
#define EIDETIC_ENGINE_BACKEND_CPU_APPEND_KV_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void AppendKv(const AppendKvParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_APPEND_KV_H_
