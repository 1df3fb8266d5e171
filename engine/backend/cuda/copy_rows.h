// Single rows from one buffer into another.
//
// What: the launcher of CopyRows. Thread safety: as LaunchQueue.
// Ownership: borrows everything. Preconditions: params are checked; row_bytes is a multiple of 4.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_COPY_ROWS_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_COPY_ROWS_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void CopyRows(const CopyRowsParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_COPY_ROWS_H_
