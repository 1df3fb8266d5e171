// The CPU backend: the embedded default, and the oracle for other backends.
//
// What: every operation of Backend on float32 activations; weights stay in the
//   files' format (bf16 and fp16 are widened where they are used).
// Thread safety: as Backend says. Ownership: owns its threads and its arena.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
#define EIDETIC_ENGINE_BACKEND_CPU_CPU_BACKEND_H_

#include <memory>

#include "engine/backend/backend.h"

namespace eidetic {

struct CpuBackendOptions {
  int32_t threads = 0;                     // 0: one a core
  size_t memory_bytes = size_t{16} << 30;  // the arena's limit
};

std::unique_ptr<Backend> CreateCpuBackend(const CpuBackendOptions& options = {});

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
