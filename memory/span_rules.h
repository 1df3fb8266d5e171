// The names of SE-Attn's choices: policies, rules, summaries.
//
// Thread safety: plain values. Ownership: none. Preconditions: none.
// Source: Span-Expanded Attention, arXiv 2412.13328.
#ifndef EIDETIC_MEMORY_SPAN_RULES_H_
#define EIDETIC_MEMORY_SPAN_RULES_H_

#include <cstdint>

namespace eidetic::memory {

enum class AttentionPolicy : uint8_t {
  kSeAttn,  // sinks, expansion span, window
  kFull,    // every block, true positions
  kWindow,  // sinks and window
};

enum class RetrievalRule : uint8_t {
  kTwoStage,  // channel bounds pick candidates, their exact maxima choose; widened until proven
  kExact,     // exact maximum over every distant token: the oracle
  kBound,     // by the bound alone
  kMean,      // by the block's mean key
  kPooled,    // by the block's attention-pooled key
};

// The summary that a rule reads, kept per block.
enum class SummaryKind : uint8_t {
  kNone,
  kBounds,  // minimum and maximum of each key channel
  kMean,
  kPooled,
  kCodes,  // every key in 4 bits a channel, with the error that this makes
};
// `bounding`: the kind by which the two-stage rule bounds a block, the backend's choice.
SummaryKind SummaryFor(RetrievalRule rule, SummaryKind bounding);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SPAN_RULES_H_
