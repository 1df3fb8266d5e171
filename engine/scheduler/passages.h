// Which stretches of the past an answer drew on.
//
// What: sums the softmax mass that blocks received, and turns the sum into a few
//   passages with text.
// Thread safety: a SpanMass has none; the functions are pure. Ownership: values.
// Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_PASSAGES_H_
#define EIDETIC_ENGINE_SCHEDULER_PASSAGES_H_

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "engine/layers/hybrid_model.h"
#include "engine/scheduler/generation_record.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

inline constexpr int32_t kMaxAnswerPassages = 8;
// A longer run of neighbours is cut, so that a passage's text stays bounded.
inline constexpr int32_t kMaxPassageBlocks = 64;

// The mean mass of every block over rows, for example over an answer's tokens.
class SpanMass {
 public:
  // `span` holds means over `rows` > 0 rows.
  void Add(std::span<const SpanUse> span, int64_t rows);
  // Ascending by block.
  std::vector<SpanUse> Mean() const;

 private:
  std::map<memory::BlockIndex, double> sums_;
  int64_t rows_ = 0;
};

// The blocks of most mass first; equal mass: the lower block first.
std::vector<SpanUse> RankBlocks(std::vector<SpanUse> blocks);

// Neighbouring blocks become one passage with the sum of their mass. The `limit`
// passages of most mass, falling. `blocks` ascend and begin within `log`, the
// session's tokens; ids beyond the tokenizer's vocabulary have no text.
// Worked example, S = 4: blocks 2 (0.1), 3 (0.2), 7 (0.25) give [8,16) 0.3, [28,32) 0.25.
std::vector<PassageUse> MakePassages(std::span<const SpanUse> blocks, int32_t block_tokens,
                                     std::span<const memory::TokenId> log,
                                     const Tokenizer& tokenizer, int32_t limit);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_PASSAGES_H_
