#include "clients/cpp/token_stream.h"

#include <deque>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "clients/cpp/connection.h"

namespace eidetic::client {

struct TokenStream::State {
  std::shared_ptr<Connection> connection;
  v1::GenerateRequest request;
  absl::Mutex mutex;  // Cancel() against Resume()'s exchange of the call
  std::unique_ptr<Connection::Call> call ABSL_GUARDED_BY(mutex);
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;  // null once ended
  absl::Status end;                                                  // how it ended
  bool seen_start = false;
  bool seen_finish = false;
  int64_t last_sequence_number = 0;
  int64_t messages = 0;
  std::deque<v1::TokenDelta> waiting;  // of the last message, not given yet

  ~State() {
    Cancel();
    // A call does not finish while events of it are unread.
    Event unread;
    while (reader && reader->Read(&unread)) {
    }
    if (reader) reader->Finish();
  }

  void Open() {
    absl::MutexLock lock(&mutex);
    call =
        std::make_unique<Connection::Call>(connection.get(), connection->options().stream_deadline);
    if (cancelled) call->context()->TryCancel();
    reader = connection->generation().Generate(call->context(), request);
  }

  void Cancel() {
    absl::MutexLock lock(&mutex);
    cancelled = true;
    if (call) call->context()->TryCancel();
  }

  // The next event of this call; false once it has ended.
  bool Read(Event* event) {
    while (waiting.empty()) {
      if (!reader || !reader->Read(event)) return false;
      ++messages;
      if (!event->has_deltas()) return true;
      for (v1::TokenDelta& token : *event->mutable_deltas()->mutable_tokens()) {
        waiting.push_back(std::move(token));
      }
    }
    *event->mutable_delta() = std::move(waiting.front());
    waiting.pop_front();
    return true;
  }

  // Notes the event; false when an earlier call of this stream gave it already.
  bool IsNew(const Event& event) {
    switch (event.event_case()) {
      case Event::kStart:
        return !std::exchange(seen_start, true);
      case Event::kDelta:
        if (event.delta().sequence_number() <= last_sequence_number) return false;
        last_sequence_number = event.delta().sequence_number();
        return true;
      case Event::kFinish:
        return !std::exchange(seen_finish, true);
      case Event::kDeltas:  // taken apart by Read
      case Event::EVENT_NOT_SET:
        return false;  // an event of a later version of the contract
    }
    return false;
  }
};

TokenStream::TokenStream(std::shared_ptr<Connection> connection, v1::GenerateRequest request)
    : state_(std::make_unique<State>()) {
  state_->connection = std::move(connection);
  state_->request = std::move(request);
  if (!state_->request.has_max_message_tokens()) {
    state_->request.set_max_message_tokens(state_->connection->options().max_message_tokens);
  }
  state_->Open();
}

TokenStream::~TokenStream() = default;
TokenStream::TokenStream(TokenStream&&) noexcept = default;
TokenStream& TokenStream::operator=(TokenStream&&) noexcept = default;

absl::StatusOr<std::optional<TokenStream::Event>> TokenStream::Next() {
  Event event;
  while (state_->Read(&event)) {
    if (state_->IsNew(event)) return event;
  }
  if (state_->reader) {
    state_->end = ToAbslStatus(state_->reader->Finish());
    state_->reader.reset();
    if (state_->seen_finish) {
      state_->end = absl::OkStatus();  // the answer is whole, however its call ended
    } else if (state_->end.ok()) {
      state_->end = absl::UnavailableError("the stream ended before the answer did");
    }
  }
  if (!state_->end.ok()) return state_->end;
  return std::nullopt;
}

absl::Status TokenStream::Resume() {
  if (state_->reader || state_->end.ok()) {
    return absl::FailedPreconditionError("the stream is not broken");
  }
  if (state_->request.request_id().empty()) {
    return absl::FailedPreconditionError("request_id: needed to take a stream up again");
  }
  {
    absl::MutexLock lock(&state_->mutex);
    if (state_->cancelled) return absl::FailedPreconditionError("the stream was cancelled");
  }
  state_->request.set_resume_from(state_->last_sequence_number);
  state_->end = absl::OkStatus();
  state_->Open();
  return absl::OkStatus();
}

void TokenStream::Cancel() { state_->Cancel(); }

int64_t TokenStream::last_sequence_number() const { return state_->last_sequence_number; }

int64_t TokenStream::messages() const { return state_->messages; }

}  // namespace eidetic::client
