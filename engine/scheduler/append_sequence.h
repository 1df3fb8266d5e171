// Pours tokens into a session for as long as a client's stream lasts.
//
// Thread safety: none; the engine's loop owns it. Ownership: holds session and work
//   until it ends; borrows the context. Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_APPEND_SEQUENCE_H_
#define EIDETIC_ENGINE_SCHEDULER_APPEND_SEQUENCE_H_

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/scheduler/mailbox.h"
#include "engine/scheduler/sequence.h"
#include "engine/session.h"

namespace eidetic {

class AppendSequence : public Sequence {
 public:
  using Progress = std::function<void(memory::Position, memory::Position)>;
  AppendSequence(const EngineContext* context, std::shared_ptr<Session> session, SessionWork work,
                 Progress progress);

  using Appended = std::function<void(absl::StatusOr<memory::Position>)>;
  // As AppendStream says.
  void Append(std::span<const memory::TokenId> tokens,
              std::optional<memory::Position> expected_position, Appended done);
  void Drain(std::function<void(absl::Status)> done);

  State Look() override;
  StepChunk NextChunk() override;
  void Apply(const StepChunk& chunk, ChunkResult result) override;
  void Cancel(const absl::Status& why) override;

 private:
  absl::StatusOr<memory::Position> Add(std::span<const memory::TokenId> tokens,
                                       std::optional<memory::Position> expected_position);
  void TellDrained(const absl::Status& status);
  bool computed() const { return session_->computed() == session_->position(); }

  const EngineContext* context_;
  std::shared_ptr<Session> session_;
  std::optional<SessionWork> work_;  // none: ended
  Progress progress_;
  std::vector<std::function<void(absl::Status)>> drains_;
};

// The client's end of `sequence`, which goes when the engine goes or the stream does.
std::shared_ptr<AppendStream> MakeAppendStream(std::shared_ptr<Mailbox> mailbox,
                                               std::weak_ptr<AppendSequence> sequence);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_APPEND_SEQUENCE_H_
