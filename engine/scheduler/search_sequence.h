// Finds the blocks of a session's past that a query retrieves, on a branch of it.
//
// Thread safety: none; the engine's loop owns it. Ownership: holds the branch, which
//   goes when it ends; borrows the context.
// Preconditions: the branch's policy is SE_ATTN.
#ifndef EIDETIC_ENGINE_SCHEDULER_SEARCH_SEQUENCE_H_
#define EIDETIC_ENGINE_SCHEDULER_SEARCH_SEQUENCE_H_

#include <atomic>
#include <memory>
#include <optional>

#include "engine/scheduler/passages.h"
#include "engine/scheduler/sequence.h"
#include "engine/session.h"

namespace eidetic {

class SearchSequence : public Sequence {
 public:
  // `branch` ends with the query, from `begin` on.
  SearchSequence(const EngineContext* context, std::shared_ptr<Session> branch, SessionWork work,
                 memory::Position begin, int32_t limit,
                 std::shared_ptr<std::atomic<bool>> cancelled,
                 Engine::Done<Engine::SearchResult> done);

  State Look() override;
  StepChunk NextChunk() override;
  void Apply(const StepChunk& chunk, ChunkResult result) override;
  void Cancel(const absl::Status& why) override;

 private:
  Engine::SearchResult Result() const;
  void End(absl::StatusOr<Engine::SearchResult> result);

  const EngineContext* context_;
  std::shared_ptr<Session> branch_;
  std::optional<SessionWork> work_;  // none: ended
  const memory::Position begin_;
  const int32_t limit_;
  std::shared_ptr<std::atomic<bool>> cancelled_;
  Engine::Done<Engine::SearchResult> done_;
  SpanMass mass_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_SEARCH_SEQUENCE_H_
