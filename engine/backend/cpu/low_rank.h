// Deltas of low rank that adapters add to a product.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as LowRankParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_LOW_RANK_H_
#define EIDETIC_ENGINE_BACKEND_CPU_LOW_RANK_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void LowRank(const LowRankParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_LOW_RANK_H_
