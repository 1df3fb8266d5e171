#include "server/append_reactor.h"

#include <algorithm>
#include <utility>

#include "eidetic/v1/session_service.pb.h"
#include "server/content_tokens.h"
#include "server/convert.h"
#include "server/grpc_status.h"
#include "server/rpc.h"

namespace eidetic {

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AppendReactor::Start(
    grpc::CallbackServerContext* context, const ServedModel* served) {
  const std::shared_ptr<AppendReactor> reactor(new AppendReactor(context, served));
  reactor->self_ = reactor;
  absl::StatusOr<Caller> caller = BeginCall(*context, *served->gate);
  if (caller.ok()) {
    reactor->caller_ = *std::move(caller);
    reactor->StartRead(&reactor->received_);
  } else {
    reactor->End(caller.status());
  }
  return reactor.get();
}

void AppendReactor::OnReadDone(bool ok) {
  if (!ok) return Drain();
  const absl::Status status = TakePart();
  if (!status.ok()) End(status);
}

absl::Status AppendReactor::TakePart() {
  v1::AppendSessionRequest request;
  const absl::Status status = ReadRequest(caller_, received_, &request);
  if (!status.ok()) return status;
  received_.Clear();
  if (opened_ && !request.name().empty()) {
    return InvalidField("name", "is set in a later request; only the first one names the session");
  }
  auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  absl::StatusOr<SessionName> name;
  if (!opened_) {
    name = SessionName::Parse(request.name(), "name");
    if (!name.ok()) return name.status();
  }
  auto tokens = ContentTokens(request.content(), "content", ContentUse::kAppend, *served_->engine);
  if (!tokens.ok()) return tokens.status();
  Part part{*std::move(tokens), *expected};
  if (opened_) {
    Append(std::move(part));
  } else {
    opened_ = true;
    Open(*std::move(name), std::move(part));
  }
  return absl::OkStatus();
}

void AppendReactor::Open(SessionName name, Part part) {
  auto progress = [weak = weak_from_this()](memory::Position, memory::Position computed) {
    if (const auto self = weak.lock()) self->OnProgress(computed);
  };
  auto opened = [self = shared_from_this(), part = std::move(part)](
                    absl::StatusOr<std::shared_ptr<AppendStream>> stream) mutable {
    if (!stream.ok()) return self->End(stream.status());
    {
      absl::MutexLock lock(&self->mutex_);
      if (self->end_) return;  // the call died meanwhile: the writer is given back
      self->stream_ = *std::move(stream);
    }
    self->Append(std::move(part));
  };
  served_->engine->OpenAppend(std::move(name), std::move(progress), std::move(opened));
}

void AppendReactor::Append(Part part) {
  CallStream([&](AppendStream& stream) {
    stream.Append(std::move(part.tokens), part.expected_position,
                  [self = shared_from_this()](auto position) { self->OnAppended(position); });
  });
}

void AppendReactor::OnAppended(const absl::StatusOr<memory::Position>& position) {
  if (!position.ok()) return End(position.status());
  {
    absl::MutexLock lock(&mutex_);
    position_ = *position;
    ++acknowledged_;
    news_ = true;
    // Under the mutex, since nothing may be started after Finish.
    if (!end_) StartRead(&received_);
  }
  Advance();
}

void AppendReactor::OnProgress(memory::Position computed) {
  {
    absl::MutexLock lock(&mutex_);
    if (computed <= computed_) return;
    computed_ = computed;
    news_ = acknowledged_ > 0;
  }
  Advance();
}

void AppendReactor::Drain() {
  if (!opened_) {
    return End(InvalidField("name", "is missing; the first request names the session"));
  }
  CallStream([this](AppendStream& stream) {
    stream.Drain([self = shared_from_this()](const absl::Status& status) {
      if (status.ok()) {
        absl::MutexLock lock(&self->mutex_);
        self->computed_ = self->position_;
        self->news_ = true;
      }
      self->End(status);
    });
  });
}

void AppendReactor::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (!end_) end_ = status;
  }
  Advance();
}

void AppendReactor::Advance() {
  std::shared_ptr<AppendStream> released;
  absl::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_ || writing_) return;
    if (news_ && !broken_) {
      v1::AppendSessionResponse response;
      response.set_position(position_);
      response.set_computed_position(std::min(computed_, position_));
      response.set_requests_acknowledged(acknowledged_);
      message_ = ToBytes(response);
      news_ = false;
      writing_ = true;
      StartWrite(&message_);
      return;
    }
    if (!end_ || calls_ > 0) return;
    finished_ = true;
    end = *end_;
    released = std::move(stream_);
  }
  released.reset();  // before the client hears of the end: the session's writer is free then
  Finish(ToGrpcStatus(end));
}

void AppendReactor::CallStream(const std::function<void(AppendStream&)>& call) {
  std::shared_ptr<AppendStream> stream;
  {
    absl::MutexLock lock(&mutex_);
    if (stream_ == nullptr) return;
    stream = stream_;
    ++calls_;
  }
  call(*stream);
  stream.reset();
  {
    absl::MutexLock lock(&mutex_);
    --calls_;
  }
  Advance();
}

void AppendReactor::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    broken_ = broken_ || !ok;
  }
  if (ok) return Advance();
  End(CancelledStatus(*context_));
}

void AppendReactor::OnCancel() {
  std::shared_ptr<AppendStream> released;
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
    released = std::move(stream_);  // at once, though a write may be in flight
  }
  released.reset();
  End(CancelledStatus(*context_));
}

}  // namespace eidetic
