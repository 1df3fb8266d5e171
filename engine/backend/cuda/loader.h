// Brings the CUDA backend into a process that was not linked with it.
//
// What: loads libeidetic_cuda.so and makes a backend. A server without GPU, driver or toolkit
//   runs all the same; and cuBLAS's thread-local storage stays out of threads with small
//   stacks that were there before.
// Thread safety: thread-safe. Ownership: the caller owns the backend; the library stays loaded.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_LOADER_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_LOADER_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/cuda_options.h"

namespace eidetic {

// Where the library may lie: $EIDETIC_CUDA_LIBRARY alone if it is set, else beside the running
// binary, in its bundle's lib folder, and where Bazel builds it.
std::vector<std::filesystem::path> CudaLibraryPlaces();

// NOT_FOUND: no library. UNAVAILABLE: no driver or device, or a library that does not load.
// INVALID_ARGUMENT: no such device number. RESOURCE_EXHAUSTED: too little free memory.
absl::StatusOr<std::unique_ptr<Backend>> LoadCudaBackend(const CudaBackendOptions& options);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_LOADER_H_
