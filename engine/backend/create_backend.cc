#include "engine/backend/create_backend.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/backend/cuda/loader.h"

namespace eidetic {
namespace {

absl::StatusOr<int32_t> CudaDevice(const std::string& name) {
  if (name == "cuda") return 0;
  absl::string_view number = name;
  int32_t device = 0;
  const bool is_number = absl::ConsumePrefix(&number, "cuda:") && !number.empty() &&
                         std::all_of(number.begin(), number.end(), absl::ascii_isdigit);
  if (is_number && absl::SimpleAtoi(number, &device)) return device;
  return absl::InvalidArgumentError(
      absl::StrCat("--device: '", name, "' is none; use auto, cpu, cuda or cuda:N"));
}

absl::StatusOr<std::unique_ptr<Backend>> CreateCuda(CudaBackendOptions options, int32_t device) {
  options.device = device;
  return LoadCudaBackend(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options,
                                                       std::string* why_no_gpu) {
  if (options.device == "cpu") return CreateCpuBackend(options.cpu);
  if (options.device != "auto") {
    const absl::StatusOr<int32_t> device = CudaDevice(options.device);
    if (!device.ok()) return device.status();
    return CreateCuda(options.cuda, *device);
  }
  absl::StatusOr<std::unique_ptr<Backend>> cuda = CreateCuda(options.cuda, 0);
  if (cuda.ok()) return cuda;
  if (why_no_gpu != nullptr) *why_no_gpu = std::string(cuda.status().message());
  return CreateCpuBackend(options.cpu);
}

}  // namespace eidetic
