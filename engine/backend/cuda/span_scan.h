// Stage one of retrieval: a rank for every distant block, from the index.
//
// What: by codes the rank of a true upper bound of the score, with few columns of an estimate too
//   (or what a partial scan makes), by channel bounds that of a true upper bound, with rules by
//   summary that of the summary's score; and the maxima of groups. Also clears what later stages
//   gather by maximum.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: tiles hold what each chunk's `summary` says.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_SCAN_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

void ScanDistantBlocks(const RetrievalJob& job, const RetrievalShape& shape, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_SCAN_H_
