// What the partial scan asks for: a choice's largest channels, and its queries in whole numbers.
//
// What: fills each PartialQuery, and clears the bins that the scan counts in.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: choices with `partial` have few columns and go by matrix units.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_QUERY_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_QUERY_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

// As many columns as the scan's kernels know, and choices have at most.
inline int32_t ScannedColumns(const RetrievalShape& shape) {
  if (shape.partial_columns == 1) return 1;
  return shape.partial_columns <= 4 ? 4 : kFewColumns;
}

void PreparePartialQueries(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PARTIAL_QUERY_H_
