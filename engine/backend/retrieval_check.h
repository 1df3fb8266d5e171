// Which choices of blocks are right, when scores are only known up to rounding.
//
// What: brute force in double over host copies of keys and queries.
// Thread safety: pure. Ownership: none. Preconditions: as the scene's inputs.
#ifndef EIDETIC_ENGINE_BACKEND_RETRIEVAL_CHECK_H_
#define EIDETIC_ENGINE_BACKEND_RETRIEVAL_CHECK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/attention_scene.h"

namespace eidetic {

// Between what a block's relevance may come out as.
struct ScoreRange {
  double low = 0, high = 0;
};

// Of the distant blocks of KV head `kv_head`. A dot product in float32, in any order, is within
// `error` * sum |q_d k_d| of the true one, and anything at all where that sum overflows; sums of
// small whole numbers are exact; a dot product that is not a number counts as minus infinity.
std::vector<ScoreRange> ScoreRanges(const AttentionCase& c, const SceneInputs& in, int32_t kv_head,
                                    double error);

// One KV head's row of chosen blocks is whole: ascending distant blocks, as many as wanted
// and there, then -1.
bool IsChoice(const AttentionCase& c, std::span<const int32_t> blocks);

// No block that was left out has surely a higher score than one chosen, or the same exact score
// and a lower number.
bool IsBestChoice(const AttentionCase& c, std::span<const int32_t> blocks,
                  const std::vector<ScoreRange>& ranges);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_RETRIEVAL_CHECK_H_
