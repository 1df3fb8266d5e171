#include "engine/scheduler/search_sequence.h"

#include <utility>

#include "engine/scheduler/session_chunk.h"

namespace eidetic {

SearchSequence::SearchSequence(const EngineContext* context, std::shared_ptr<Session> branch,
                               SessionWork work, memory::Position begin, int32_t limit,
                               std::shared_ptr<std::atomic<bool>> cancelled,
                               Engine::Done<Engine::SearchResult> done)
    : context_(context),
      branch_(std::move(branch)),
      work_(std::move(work)),
      begin_(begin),
      limit_(limit),
      cancelled_(std::move(cancelled)),
      done_(std::move(done)) {}

Sequence::State SearchSequence::Look() {
  if (!work_) return State::kEnded;
  if (cancelled_ != nullptr && cancelled_->load()) {
    End(absl::CancelledError("the request was cancelled"));
  } else if (absl::Status indexed = branch_->PrepareIndex(); !indexed.ok()) {
    End(indexed);
  }
  return work_ ? State::kReady : State::kEnded;
}

StepChunk SearchSequence::NextChunk() {
  StepChunk chunk = SessionChunk(*branch_, context_->limits.query_chunk_tokens);
  if (chunk.begin >= begin_) {
    chunk.want_span = true;
    // What is asked is what the query would retrieve, also where bulk appends do not.
    chunk.settings.retrieve_in_prefill = true;
  }
  return chunk;
}

void SearchSequence::Apply(const StepChunk& chunk, ChunkResult result) {
  if (chunk.want_span) {
    const int32_t block_tokens = context_->limits.block_tokens;
    // A long query retrieves from itself too; only the past is asked for.
    std::erase_if(result.span,
                  [&](const SpanUse& use) { return int64_t{use.block} * block_tokens >= begin_; });
    mass_.Add(result.span, static_cast<int64_t>(chunk.tokens.size()));
  }
  if (branch_->computed() == branch_->position()) End(Result());
}

Engine::SearchResult SearchSequence::Result() const {
  const std::vector<SpanUse> mean = mass_.Mean();
  Engine::SearchResult result;
  result.passages = MakePassages(mean, context_->limits.block_tokens, branch_->log.Slice(0, begin_),
                                 *context_->tokenizer, limit_);
  result.blocks = RankBlocks(mean);
  const size_t most = size_t{4} * limit_;
  if (result.blocks.size() > most) result.blocks.resize(most);
  return result;
}

void SearchSequence::End(absl::StatusOr<Engine::SearchResult> result) {
  work_.reset();
  branch_.reset();
  done_(std::move(result));
}

void SearchSequence::Cancel(const absl::Status& why) {
  if (work_) End(why);
}

}  // namespace eidetic
