// The one symbol of libeidetic_cuda.so.
//
// Thread safety: as LoadCudaBackend. Ownership: the caller owns what is created.
// Preconditions: caller and library are of the same build.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_POINT_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_POINT_H_

#include "absl/status/status.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/cuda_options.h"

namespace eidetic::cuda {

// Null with a status when no backend could be made.
using CreateFunction = Backend* (*)(const CudaBackendOptions& options, absl::Status* status);

inline constexpr char kCreateFunctionName[] = "EideticCreateCudaBackend";

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_ENTRY_POINT_H_
