// Flow: one block a row; it moves 16 bytes at a time where both ends and the length allow it,
// else 4.
#include <glog/logging.h>

#include "engine/backend/cuda/copy_rows.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;

struct CopyRowsArgs {
  const void* const* from;  // [rows] addresses
  void* const* to;          // [rows] addresses
  size_t row_bytes;
};

template <typename Unit>
__device__ inline void CopyRow(const void* from, void* to, size_t bytes) {
  for (size_t i = threadIdx.x; i < bytes / sizeof(Unit); i += kThreads) {
    static_cast<Unit*>(to)[i] = static_cast<const Unit*>(from)[i];
  }
}

__global__ void __launch_bounds__(kThreads) CopyRowsKernel(const CopyRowsArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const void* from = args.from[blockIdx.x];
  void* to = args.to[blockIdx.x];
  const uintptr_t ends = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to);
  if ((ends | args.row_bytes) % sizeof(uint4) == 0) {
    CopyRow<uint4>(from, to, args.row_bytes);
  } else {
    CopyRow<uint32_t>(from, to, args.row_bytes);
  }
}

}  // namespace

void CopyRows(const CopyRowsParams& params, Context* context) {
  if (params.from.empty() || params.row_bytes == 0) return;
  CHECK_EQ(params.row_bytes % sizeof(uint32_t), 0u);
  context->queue->Launch(CopyRowsKernel, dim3(params.from.size()), dim3(kThreads), 0,
                         CopyRowsArgs{.from = context->queue->Stage(params.from),
                                      .to = context->queue->Stage(params.to),
                                      .row_bytes = params.row_bytes},
                         Overlap::kPrologue);
}

}  // namespace eidetic::cuda
