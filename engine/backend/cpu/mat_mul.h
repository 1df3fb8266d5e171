// Matrix products on packed weights.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as MatMulParams says, `w` a PackedMatrix; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_MAT_MUL_H_
#define EIDETIC_ENGINE_BACKEND_CPU_MAT_MUL_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void MatMul(const MatMulParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_MAT_MUL_H_
