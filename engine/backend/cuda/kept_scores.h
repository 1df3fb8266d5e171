// Exact scores of the blocks that a partial scan leaves.
//
// What: the blocks of the upper bins, as many as are to be kept and those of the border's bin;
// their
//   ranks are in the place of estimates, the others' rank is 0. A choice's state tells how many.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: the partial scan has written its scores and bins.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_KEPT_SCORES_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_KEPT_SCORES_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

void ScoreKept(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_KEPT_SCORES_H_
