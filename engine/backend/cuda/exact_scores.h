// Exact relevance: the maximum of q . key over a block's tokens and a choice's columns.
//
// What: one function of a block and a choice wherever it is asked for, so that all rules choose
//   alike: in bf16 the matrix units with float32 sums, else chains of multiply-adds.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: the list that is scored has been written.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_H_

#include "engine/backend/cuda/span_choice.h"

namespace eidetic::cuda {

enum class ScoredBlocks : uint8_t {
  kAllDistant,  // of choices by keys, into ranks
  kFirstList,   // of choices in two stages, into scores
  kSecondList,
};

void ScoreBlocks(const RetrievalJob& job, const RetrievalShape& shape, ScoredBlocks which,
                 Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_EXACT_SCORES_H_
