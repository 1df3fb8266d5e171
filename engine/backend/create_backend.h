// Chooses what computes: a GPU if there is one that serves, else the CPU.
//
// Thread safety: thread-safe. Ownership: the caller owns the backend. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CREATE_BACKEND_H_
#define EIDETIC_ENGINE_BACKEND_CREATE_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cuda/cuda_options.h"

namespace eidetic {

struct BackendOptions {
  // "auto": cuda:0 where it works, else the CPU. "cpu". "cuda" or "cuda:N": that device or an
  // error.
  std::string device = "auto";
  CpuBackendOptions cpu = {};
  CudaBackendOptions cuda = {};  // its `device` is taken from the name above
};

// INVALID_ARGUMENT: no such name or number; else the errors of LoadCudaBackend. When "auto" gave
// the CPU, *why_no_gpu tells why, if somebody wants to know.
absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options,
                                                       std::string* why_no_gpu = nullptr);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_CREATE_BACKEND_H_
