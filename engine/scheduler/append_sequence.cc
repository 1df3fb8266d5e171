#include "engine/scheduler/append_sequence.h"

#include <utility>

#include "engine/scheduler/session_chunk.h"

namespace eidetic {
namespace {

absl::Status StreamEnded() { return absl::CancelledError("the append stream has ended"); }

class Stream : public AppendStream {
 public:
  Stream(std::shared_ptr<Mailbox> mailbox, std::weak_ptr<AppendSequence> sequence)
      : mailbox_(std::move(mailbox)), sequence_(std::move(sequence)) {}

  ~Stream() override {
    mailbox_->Post([sequence = sequence_](absl::Status alive) {
      if (!alive.ok()) return;
      if (auto held = sequence.lock()) held->Cancel(StreamEnded());
    });
  }

  void Append(std::vector<memory::TokenId> tokens,
              std::optional<memory::Position> expected_position,
              std::function<void(absl::StatusOr<memory::Position>)> done) override {
    mailbox_->Post([sequence = sequence_, tokens = std::move(tokens), expected_position,
                    done = std::move(done)](absl::Status alive) {
      if (!alive.ok()) return done(alive);
      auto held = sequence.lock();
      held ? held->Append(tokens, expected_position, done) : done(StreamEnded());
    });
  }

  void Drain(std::function<void(absl::Status)> done) override {
    mailbox_->Post([sequence = sequence_, done = std::move(done)](absl::Status alive) mutable {
      if (!alive.ok()) return done(alive);
      auto held = sequence.lock();
      held ? held->Drain(std::move(done)) : done(StreamEnded());
    });
  }

 private:
  std::shared_ptr<Mailbox> mailbox_;
  // Weak: a stream may outlive the engine, and the sequence holds its memory.
  std::weak_ptr<AppendSequence> sequence_;
};

}  // namespace

AppendSequence::AppendSequence(const EngineContext* context, std::shared_ptr<Session> session,
                               SessionWork work, Progress progress)
    : context_(context),
      session_(std::move(session)),
      work_(std::move(work)),
      progress_(std::move(progress)) {}

absl::StatusOr<memory::Position> AppendSequence::Add(
    std::span<const memory::TokenId> tokens, std::optional<memory::Position> expected_position) {
  if (!work_) return StreamEnded();
  absl::Status status = context_->ledger->CheckRoom();
  if (status.ok()) status = CheckPosition(*session_, expected_position);
  const memory::Position begin = session_->position();
  const auto count = static_cast<int64_t>(tokens.size());
  const std::string& tenant = session_->name.tenant;
  if (status.ok()) status = context_->tenants->CheckPrompt(tenant, count);
  if (status.ok()) status = context_->tenants->Charge(tenant, count);
  if (!status.ok()) return status;
  status = session_->memory->ReserveFor(session_->settings.last(), begin + count,
                                        context_->limits.query_chunk_tokens);
  if (!status.ok()) {
    context_->tenants->Refund(tenant, count);
    return status;
  }
  session_->log.Append(tokens);
  session_->update_time = context_->now();
  context_->journal->Added(*session_, begin);
  return session_->position();
}

void AppendSequence::Append(std::span<const memory::TokenId> tokens,
                            std::optional<memory::Position> expected_position, Appended done) {
  auto position = Add(tokens, expected_position);
  // Refused for want of room: that waits for no disk.
  if (absl::IsUnavailable(position.status())) return done(std::move(position));
  context_->ledger->Tell(
      [position = std::move(position), done = std::move(done)](const absl::Status& durable) {
        done(durable.ok() ? position : durable);
      });
}

void AppendSequence::Drain(std::function<void(absl::Status)> done) {
  if (!work_) return done(StreamEnded());
  if (computed()) return done(absl::OkStatus());
  drains_.push_back(std::move(done));
}

Sequence::State AppendSequence::Look() {
  if (!work_) return State::kEnded;
  if (computed()) return State::kWaiting;
  if (absl::Status indexed = session_->PrepareIndex(); !indexed.ok()) {
    Cancel(indexed);
    return State::kEnded;
  }
  return State::kReady;
}

StepChunk AppendSequence::NextChunk() {
  return SessionChunk(*session_, context_->limits.query_chunk_tokens);
}

void AppendSequence::Apply(const StepChunk&, ChunkResult) {
  context_->ledger->Tell([progress = progress_, position = session_->position(),
                          computed = session_->computed()](const absl::Status& durable) {
    if (durable.ok()) progress(position, computed);
  });
  if (!computed()) return;
  TellDrained(absl::OkStatus());
}

void AppendSequence::TellDrained(const absl::Status& status) {
  context_->ledger->Tell(
      [drains = std::exchange(drains_, {}), status](const absl::Status& durable) {
        for (const auto& done : drains) done(status.ok() ? durable : status);
      });
}

void AppendSequence::Cancel(const absl::Status& why) {
  work_.reset();
  session_.reset();
  TellDrained(why);
}

std::shared_ptr<AppendStream> MakeAppendStream(std::shared_ptr<Mailbox> mailbox,
                                               std::weak_ptr<AppendSequence> sequence) {
  return std::make_shared<Stream>(std::move(mailbox), std::move(sequence));
}

}  // namespace eidetic
