#include "engine/backend/cuda/loader.h"

#include <dlfcn.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "engine/backend/cuda/entry_point.h"

namespace eidetic {
namespace {

constexpr char kLibrary[] = "libeidetic_cuda.so";

}  // namespace

std::vector<std::filesystem::path> CudaLibraryPlaces() {
  if (const char* set = std::getenv("EIDETIC_CUDA_LIBRARY"); set != nullptr && *set != '\0') {
    return {set};
  }
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::filesystem::path> places;
  std::filesystem::path folder = binary.parent_path();
  places.push_back(folder / kLibrary);
  places.push_back(folder.parent_path() / "lib" / kLibrary);
  // bazel-bin/<package>/<binary>: some folder above holds engine/.
  for (; folder.has_relative_path(); folder = folder.parent_path()) {
    places.push_back(folder / "engine/backend/cuda" / kLibrary);
  }
  return places;
}

absl::StatusOr<std::unique_ptr<Backend>> LoadCudaBackend(const CudaBackendOptions& options) {
  std::filesystem::path found;
  for (const std::filesystem::path& place : CudaLibraryPlaces()) {
    std::error_code error;
    if (std::filesystem::exists(place, error)) {
      found = place;
      break;
    }
  }
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat(kLibrary, " is not beside this binary; build it where the CUDA toolkit is"));
  }
  void* library = dlopen(found.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(found.string(), " does not load: ", dlerror(), "; install the CUDA runtime"));
  }
  const auto create =
      reinterpret_cast<cuda::CreateFunction>(dlsym(library, cuda::kCreateFunctionName));
  if (create == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(found.string(), " is not of this build: it has no entry point"));
  }
  absl::Status status;
  std::unique_ptr<Backend> backend(create(options, &status));
  if (!status.ok()) return status;
  return backend;
}

}  // namespace eidetic
