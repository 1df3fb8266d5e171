// Weights on their way from a file's tensors to the device.
//
// Thread safety: none. Ownership: results own their memory and borrow the arena.
// Preconditions: none: what does not fit is refused.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_WEIGHTS_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_WEIGHTS_H_

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

// `views` stacked by rows, in the number format of `precision`. bf16 files on a bf16 backend
// are copied as they are; other formats are rounded to nearest.
absl::StatusOr<std::unique_ptr<Matrix>> UploadMatrix(std::span<const TensorView> views,
                                                     Precision precision, memory::Arena* arena);
absl::StatusOr<std::unique_ptr<Vector>> UploadVector(const TensorView& view, memory::Arena* arena);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DEVICE_WEIGHTS_H_
