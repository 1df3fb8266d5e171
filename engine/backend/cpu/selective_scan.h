// The recurrence of Mamba-2, token by token.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as SelectiveScanParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SELECTIVE_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SELECTIVE_SCAN_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void SelectiveScan(const SelectiveScanParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SELECTIVE_SCAN_H_
