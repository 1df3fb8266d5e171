// Scores given tokens as a session's continuation, on a branch of it.
//
// Thread safety: none; the engine's loop owns it. Ownership: holds the branch, which
//   goes when it ends; borrows the context.
// Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_SCORE_SEQUENCE_H_
#define EIDETIC_ENGINE_SCHEDULER_SCORE_SEQUENCE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "engine/scheduler/sequence.h"
#include "engine/session.h"

namespace eidetic {

class ScoreSequence : public Sequence {
 public:
  // `branch` ends with the tokens to score, from `begin` on. The token at `begin` is
  // scored from the state before it; at position 0 there is none and it is left out.
  ScoreSequence(const EngineContext* context, std::shared_ptr<Session> branch, SessionWork work,
                memory::Position begin, int32_t top_logprobs,
                std::shared_ptr<std::atomic<bool>> cancelled,
                Engine::Done<std::vector<SampledToken>> done);

  State Look() override;
  StepChunk NextChunk() override;
  void Apply(const StepChunk& chunk, ChunkResult result) override;
  void Cancel(const absl::Status& why) override;

 private:
  bool WantsFirst() const;
  void End(absl::StatusOr<std::vector<SampledToken>> result);

  const EngineContext* context_;
  std::shared_ptr<Session> branch_;
  std::optional<SessionWork> work_;  // none: ended
  const memory::Position begin_;
  const int32_t top_logprobs_;
  const size_t wanted_;
  // targets_[i] follows position begin_ - 1 + i; -1 after the last.
  std::vector<memory::TokenId> targets_;
  std::shared_ptr<std::atomic<bool>> cancelled_;
  Engine::Done<std::vector<SampledToken>> done_;
  std::vector<SampledToken> scored_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_SCORE_SEQUENCE_H_
