#include "engine/scheduler/generation_sequence.h"

#include <glog/logging.h>

#include <limits>
#include <utility>

#include "engine/scheduler/answer.h"
#include "engine/scheduler/session_chunk.h"
#include "engine/scheduler/telling.h"

namespace eidetic {
namespace {

// What sampling gives when every logit is NaN.
bool IsBroken(const SampledToken& sampled) {
  return sampled.token == 0 && !(sampled.logprob > -std::numeric_limits<float>::infinity());
}

}  // namespace

GenerationSequence::GenerationSequence(const EngineContext* context,
                                       std::shared_ptr<Session> session, SessionWork work,
                                       std::shared_ptr<Request> request, const GenerateSpec& spec)
    : context_(context),
      session_(std::move(session)),
      work_(std::move(work)),
      request_(std::move(request)),
      start_(spec.start),
      last_token_(spec.arrival) {
  request_->running = true;
  request_->facts.last_used = context->now();
  context_->journal->Changed(*request_);
}

Sequence::State GenerationSequence::Look() {
  if (!work_) return State::kEnded;
  const std::optional<int64_t> lag = request_->record->slowest_lag();
  if (!lag) {
    Interrupt();
    return State::kEnded;
  }
  if (absl::Status indexed = session_->PrepareIndex(); !indexed.ok()) {
    End(indexed);
    return State::kEnded;
  }
  return *lag > context_->limits.max_reader_lag_events ? State::kPaused : State::kReady;
}

StepChunk GenerationSequence::NextChunk() {
  StepChunk chunk = SessionChunk(*session_, context_->limits.query_chunk_tokens);
  if (EndOf(chunk) < session_->position()) return chunk;
  chunk.output = ChunkOutput::kSample;
  chunk.sample = request_->generation->Row(session_->position());
  chunk.want_span = chunk.settings.policy == memory::AttentionPolicy::kSeAttn;
  return chunk;
}

void GenerationSequence::Apply(const StepChunk& chunk, ChunkResult result) {
  if (chunk.output != ChunkOutput::kSample) return;
  if (IsBroken(result.sampled)) {
    LOG(ERROR) << "no logit is a number at position " << session_->position() << " of "
               << session_->name.ToString();
    End(
        absl::InternalError("the model's output is not a number; fork or recreate the session, "
                            "and report the model's files as broken"));
    return;
  }
  const memory::Position position = session_->position();
  session_->log.AppendGenerated(result.sampled.token);
  session_->update_time = context_->now();
  // Without tokens nothing was retrieved anew: nothing is known of this token's span.
  TokenRecord drawn{.sampled = std::move(result.sampled),
                    .retrieved = chunk.want_span && !chunk.tokens.empty(),
                    .span = std::move(result.span)};
  context_->journal->Added(*session_, position);
  const AnswerPlace place{.position = position,
                          .past = session_->log.tokens(),
                          .block_tokens = context_->limits.block_tokens,
                          .token_blocks = request_->facts.token_blocks};
  AnswerStep step = TakeDrawn(drawn, place, *context_->tokenizer, request_->generation.get());
  context_->journal->Drawn(*request_, step.event.sequence_number, drawn);
  ObserveToken();
  Tell(context_->ledger, request_->record, std::move(step.event));
  if (step.finish) End(*std::move(step.finish));
}

void GenerationSequence::ObserveToken() {
  const absl::Time now = context_->now();
  const double seconds = absl::ToDoubleSeconds(now - last_token_);
  first_token_ ? context_->observer->OnFirstToken(start_, seconds)
               : context_->observer->OnInterToken(seconds);
  first_token_ = false;
  last_token_ = now;
}

void GenerationSequence::Release() {
  work_.reset();
  context_->tenants->Refund(request_->key.owner.tenant, request_->generation->tokens_left());
  request_->running = false;
  request_->facts.last_used = context_->now();
}

void GenerationSequence::Interrupt() {
  Release();
  context_->journal->Changed(*request_);
  request_->stopped_at = session_->position();
  if (session_->name.session.empty()) request_->log = std::move(session_->log);
  session_.reset();
}

void GenerationSequence::End(GenerationEvent last) {
  Release();
  session_.reset();
  EndRequest(context_->ledger, context_->journal, request_.get(), std::move(last));
}

void GenerationSequence::Cancel(const absl::Status& why) {
  if (work_) End(why);
}

}  // namespace eidetic
