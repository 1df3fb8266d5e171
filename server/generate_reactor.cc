#include "server/generate_reactor.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "server/convert.h"
#include "server/grpc_status.h"
#include "server/rpc.h"
#include "server/rpc_counter.h"
#include "server/to_proto.h"

namespace eidetic {

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateReactor::Start(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer& request,
    const ServedModel* served, const Streaming& streaming) {
  const std::shared_ptr<GenerateReactor> reactor(new GenerateReactor(context, served, streaming));
  reactor->self_ = reactor;
  streaming.slow_readers->Add(reactor);
  const absl::Status status = reactor->Submit(request);
  if (!status.ok()) reactor->End(status);
  return reactor.get();
}

absl::Status GenerateReactor::Submit(const grpc::ByteBuffer& bytes) {
  const absl::StatusOr<Caller> caller = BeginCall(*context_, *served_->gate);
  if (!caller.ok()) return caller.status();
  v1::GenerateRequest request;
  if (absl::Status status = ReadRequest(*caller, bytes, &request); !status.ok()) return status;
  const auto message_tokens = MessageTokens(request);
  if (!message_tokens.ok()) return message_tokens.status();
  message_tokens_ = std::min(message_tokens_, *message_tokens);
  auto spec = ToGenerateSpec(request, *served_);
  if (!spec.ok()) return spec.status();
  logprobs_ = request.has_logprobs();
  facts_.tenant = spec->session ? spec->session->tenant : spec->tenant;
  facts_.request_id = spec->request_id;
  served_->engine->Generate(*std::move(spec), [self = shared_from_this()](auto reader) {
    self->OnOpened(std::move(reader));
  });
  return absl::OkStatus();
}

void GenerateReactor::OnOpened(absl::StatusOr<std::shared_ptr<GenerationReader>> reader) {
  if (!reader.ok()) return End(reader.status());
  {
    absl::MutexLock lock(&mutex_);
    if (end_) return;  // the stream died meanwhile: `reader` goes, and its work with it
    reader_ = *std::move(reader);
  }
  AdvanceElsewhere();
}

void GenerateReactor::End(const absl::Status& status) {
  std::shared_ptr<GenerationReader> dropped;
  {
    absl::MutexLock lock(&mutex_);
    if (!end_) end_ = status;
    dropped = std::move(reader_);
  }
  dropped.reset();  // at once, though a write may be in flight: the work stops
  Advance();
}

void GenerateReactor::Advance() {
  std::shared_ptr<GenerationReader> dropped, wait_for;
  absl::Status end;
  bool write;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_ || writing_ || cutting_) return;
    if (!end_) {
      if (reader_ == nullptr || waiting_) return;
      if (const std::optional<GenerationEvent> event = NextEvent()) {
        Take(*event);
      } else {
        waiting_ = true;
        wait_for = reader_;
      }
    }
    write = writing_;
    if (end_ && !write) {
      finished_ = true;
      end = *end_;
      dropped = std::move(reader_);
    }
  }
  // It may send at once. Until OnWriteDone nobody else touches the message or finishes.
  if (write) return StartWrite(&message_);
  if (wait_for != nullptr) return WaitFor(*wait_for);
  dropped.reset();  // before the client hears of the end: the session's writer is free then
  Count(end);
  Finish(ToGrpcStatus(end));
}

void GenerateReactor::Count(const absl::Status& end) {
  metrics_->CountRpc(kGenerateMethod, end.code(), std::string(end.message()));
  facts_.code = end.code();
  facts_.time = absl::Now() - begin_;
  facts_.trace_id = TraceIdOf(context_->client_metadata());
  LogCall(facts_);
  if (facts_.tenant.empty()) return;  // refused before it was known
  metrics_->CountGeneration(facts_.tenant, end.code());
  metrics_->CountTenantTokens(facts_.tenant, facts_.prompt_tokens, facts_.generated_tokens);
}

void GenerateReactor::AdvanceElsewhere() {
  threads_->Post([self = shared_from_this()] { self->Advance(); });
}

void GenerateReactor::WaitFor(GenerationReader& reader) {
  // A weak reference, because the reader that we own keeps the callback.
  reader.NotifyWhenReady([weak = weak_from_this()] {
    const std::shared_ptr<GenerateReactor> self = weak.lock();
    if (self == nullptr) return;
    {
      absl::MutexLock lock(&self->mutex_);
      self->waiting_ = false;
    }
    self->AdvanceElsewhere();
  });
}

std::optional<GenerationEvent> GenerateReactor::NextEvent() {
  if (ahead_) return std::exchange(ahead_, std::nullopt);
  return reader_->TryNext();
}

void GenerateReactor::Take(const GenerationEvent& event) {
  if (const auto* error = std::get_if<absl::Status>(&event)) {
    end_ = *error;
    return;
  }
  v1::GenerateResponse response;
  if (const auto* start = std::get_if<GenerationStart>(&event)) {
    *response.mutable_start() = ToProto(*start);
    facts_.prompt_tokens = start->prompt_tokens;
  } else if (const auto* token = std::get_if<TokenEvent>(&event)) {
    GatherTokens(*token, &response);
  } else {
    *response.mutable_finish() = ToProto(std::get<GenerationFinish>(event));
    last_written_ = true;
  }
  message_ = ToBytes(response);
  writing_ = true;
  write_in_flight_ = ++writes_;
}

void GenerateReactor::GatherTokens(const TokenEvent& first, v1::GenerateResponse* response) {
  const Tokenizer& tokenizer = served_->engine->tokenizer();
  v1::TokenDelta delta = ToProto(first, logprobs_, tokenizer);
  if (message_tokens_ > 1) ahead_ = reader_->TryNext();
  const TokenEvent* next = ahead_ ? std::get_if<TokenEvent>(&*ahead_) : nullptr;
  ++facts_.generated_tokens;
  if (next == nullptr) {
    *response->mutable_delta() = std::move(delta);
    return;
  }
  v1::TokenDeltas& deltas = *response->mutable_deltas();
  size_t bytes = delta.ByteSizeLong();
  *deltas.add_tokens() = std::move(delta);
  while (next != nullptr && deltas.tokens_size() < message_tokens_ && bytes < kFullMessageBytes) {
    *deltas.add_tokens() = ToProto(*next, logprobs_, tokenizer);
    ++facts_.generated_tokens;
    bytes += deltas.tokens().rbegin()->ByteSizeLong();
    ahead_ = reader_->TryNext();
    next = ahead_ ? std::get_if<TokenEvent>(&*ahead_) : nullptr;
  }
}

void GenerateReactor::OnWriteDone(bool ok) {
  bool last;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    write_in_flight_ = 0;
    last = last_written_;
  }
  if (!ok) return End(CancelledStatus(*context_));
  if (last) return End(absl::OkStatus());
  Advance();
}

bool GenerateReactor::Cut(int64_t write) {
  std::shared_ptr<GenerationReader> dropped;
  {
    absl::MutexLock lock(&mutex_);
    if (!writing_ || writes_ != write) return false;
    if (!end_) {
      end_ = absl::ResourceExhaustedError(
          "stream: the client took nothing for too long; send the request_id again with "
          "resume_from");
    }
    dropped = std::move(reader_);
    cutting_ = true;
  }
  dropped.reset();
  context_->TryCancel();  // may call back at once
  {
    absl::MutexLock lock(&mutex_);
    cutting_ = false;
  }
  Advance();
  return true;
}

void GenerateReactor::OnCancel() { End(CancelledStatus(*context_)); }

}  // namespace eidetic
