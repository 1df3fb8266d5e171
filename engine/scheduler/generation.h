// One answer as it is drawn: token by token into text, until something ends it.
//
// What: keeps what outlives a step: the detokenizer, the stop strings, the token
//   counts for penalties, the mass of the blocks that the answer drew on. Knows no
//   session, no step and no thread.
// Thread safety: none. Ownership: owns its state; borrows the tokenizer, which must
//   outlive it. Preconditions: settings were validated; nothing is taken after a finish.
#ifndef EIDETIC_ENGINE_SCHEDULER_GENERATION_H_
#define EIDETIC_ENGINE_SCHEDULER_GENERATION_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/backend/backend.h"
#include "engine/scheduler/generation_record.h"
#include "engine/scheduler/passages.h"
#include "engine/text/incremental_detokenizer.h"
#include "engine/text/stop_matcher.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

struct GenerationSettings {
  SamplingParams sampling = {};  // with the seed in use
  int32_t max_tokens = 1;
  std::vector<std::string> stop_strings = {};
  std::vector<memory::TokenId> stop_tokens = {};  // the model's end tokens included, unless ignored
};

class Generation {
 public:
  Generation(const Tokenizer* tokenizer, GenerationSettings settings,
             std::span<const memory::TokenId> prompt);

  // How the token at `position` is to be drawn. Valid until the next Take.
  SampleRow Row(memory::Position position) const;

  struct Taken {
    TokenEvent event;                        // without blocks
    std::optional<GenerationFinish> finish;  // without passages
  };
  // The next token, which stands at `position`. Order of ends: a stop token, then a
  // stop string, then max_tokens.
  Taken Take(SampledToken sampled, memory::Position position);

  SpanMass& mass() { return mass_; }
  int32_t tokens_left() const { return settings_.max_tokens - generated_tokens_; }

 private:
  bool IsStopToken(memory::TokenId token) const;
  TokenCount& CountOf(memory::TokenId token);
  GenerationFinish Finish(FinishReason reason, memory::Position position);

  const Tokenizer* tokenizer_;
  GenerationSettings settings_;
  IncrementalDetokenizer detokenizer_;
  StopMatcher matcher_;
  int32_t prompt_tokens_;
  int32_t generated_tokens_ = 0;
  std::vector<TokenCount> counts_;
  absl::flat_hash_map<memory::TokenId, size_t> count_of_;  // token -> its place in counts_
  SpanMass mass_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_GENERATION_H_
