// Generates one request's answer within a session.
//
// Thread safety: none; the engine's loop owns it. Ownership: holds session, work
//   and request until it ends; borrows the context.
// Preconditions: the request's record has its start and is attached to.
#ifndef EIDETIC_ENGINE_SCHEDULER_GENERATION_SEQUENCE_H_
#define EIDETIC_ENGINE_SCHEDULER_GENERATION_SEQUENCE_H_

#include <memory>
#include <optional>

#include "engine/scheduler/request_book.h"
#include "engine/scheduler/sequence.h"
#include "engine/session.h"

namespace eidetic {

class GenerationSequence : public Sequence {
 public:
  GenerationSequence(const EngineContext* context, std::shared_ptr<Session> session,
                     SessionWork work, std::shared_ptr<Request> request, const GenerateSpec& spec);

  State Look() override;
  StepChunk NextChunk() override;
  void Apply(const StepChunk& chunk, ChunkResult result) override;
  void Cancel(const absl::Status& why) override;

 private:
  // Lets the session go; the request can be taken up again from here.
  void Interrupt();
  // Lets the session go, then publishes the last event.
  void End(GenerationEvent last);
  void Release();
  void ObserveToken();

  const EngineContext* context_;
  std::shared_ptr<Session> session_;
  std::optional<SessionWork> work_;  // none: ended
  std::shared_ptr<Request> request_;
  const StartTier start_;
  absl::Time last_token_;  // before the first: the request's arrival
  bool first_token_ = true;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_GENERATION_SEQUENCE_H_
