// Takes choices from a partial scan to their spans.
//
// What: the blocks of the upper bins, as many as are to be kept and those of the border's bin, are
//   scored exactly, and the best of them chosen.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: the partial scan has written its scores and bins.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_KEPT_CHOICE_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_KEPT_CHOICE_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

void ChooseAmongKept(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_KEPT_CHOICE_H_
