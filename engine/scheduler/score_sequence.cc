#include "engine/scheduler/score_sequence.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "engine/scheduler/session_chunk.h"

namespace eidetic {

ScoreSequence::ScoreSequence(const EngineContext* context, std::shared_ptr<Session> branch,
                             SessionWork work, memory::Position begin, int32_t top_logprobs,
                             std::shared_ptr<std::atomic<bool>> cancelled,
                             Engine::Done<std::vector<SampledToken>> done)
    : context_(context),
      branch_(std::move(branch)),
      work_(std::move(work)),
      begin_(begin),
      top_logprobs_(top_logprobs),
      wanted_(branch_->position() - begin - (begin == 0 ? 1 : 0)),
      cancelled_(std::move(cancelled)),
      done_(std::move(done)) {
  const auto tokens = branch_->log.Slice(begin, branch_->position());
  targets_.assign(tokens.begin(), tokens.end());
  targets_.push_back(-1);
}

// Whether the next chunk is the state before `begin_`, which scores the first token.
bool ScoreSequence::WantsFirst() const {
  return branch_->computed() == begin_ && begin_ > 0 && scored_.empty();
}

Sequence::State ScoreSequence::Look() {
  if (!work_) return State::kEnded;
  if (cancelled_ != nullptr && cancelled_->load()) {
    End(absl::CancelledError("the request was cancelled"));
  } else if (scored_.size() == wanted_) {
    End(std::move(scored_));
  } else if (absl::Status indexed = branch_->PrepareIndex(); !indexed.ok()) {
    End(indexed);
  }
  return work_ ? State::kReady : State::kEnded;
}

StepChunk ScoreSequence::NextChunk() {
  StepChunk chunk = SessionChunk(*branch_, context_->limits.query_chunk_tokens);
  if (chunk.begin < begin_) return chunk;
  if (WantsFirst()) chunk.tokens = {};
  const size_t rows = std::max<size_t>(1, chunk.tokens.size());
  const size_t first_target = chunk.begin - begin_ + (chunk.tokens.empty() ? 0 : 1);
  chunk.output = ChunkOutput::kScore;
  chunk.targets = std::span(targets_).subspan(first_target, rows);
  chunk.top_logprobs = top_logprobs_;
  return chunk;
}

void ScoreSequence::Apply(const StepChunk&, ChunkResult result) {
  std::move(result.scored.begin(), result.scored.end(), std::back_inserter(scored_));
  const bool broken = std::any_of(scored_.end() - result.scored.size(), scored_.end(),
                                  [](const SampledToken& s) { return std::isnan(s.logprob); });
  if (broken) {
    End(absl::InternalError("the model's output is not a number; report its files as broken"));
  } else if (scored_.size() == wanted_) {
    End(std::move(scored_));
  }
}

void ScoreSequence::End(absl::StatusOr<std::vector<SampledToken>> result) {
  work_.reset();
  branch_.reset();
  done_(std::move(result));
}

void ScoreSequence::Cancel(const absl::Status& why) {
  if (work_) End(why);
}

}  // namespace eidetic
