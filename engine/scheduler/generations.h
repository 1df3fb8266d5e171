// Starts, attaches to, replays and takes up generations.
//
// What: the admission of Engine::Generate. All or nothing: a request that is refused
//   has changed nothing.
// Thread safety: none; the engine's loop owns it. Ownership: owns the books of
//   requests without a session; borrows the rest, which outlives it.
// Preconditions: requests were validated for form.
#ifndef EIDETIC_ENGINE_SCHEDULER_GENERATIONS_H_
#define EIDETIC_ENGINE_SCHEDULER_GENERATIONS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/adapter_table.h"
#include "engine/engine.h"
#include "engine/scheduler/request_book.h"
#include "engine/scheduler/step_loop.h"
#include "engine/session_table.h"

namespace eidetic {

class Generations {
 public:
  // `end_tokens` end an answer unless a request ignores them. `on_reader_change`: as
  // GenerationRecord says.
  Generations(const EngineContext* context, SessionTable* sessions, const AdapterTable* adapters,
              StepLoop* loop, std::vector<memory::TokenId> end_tokens,
              std::function<void()> on_reader_change)
      : context_(context),
        sessions_(sessions),
        adapters_(adapters),
        loop_(loop),
        end_tokens_(std::move(end_tokens)),
        on_reader_change_(std::move(on_reader_change)) {}

  // As Engine::Generate says.
  absl::StatusOr<std::shared_ptr<GenerationReader>> Generate(const GenerateSpec& spec);

  // Whether that takes memory; not when it runs or all is told already.
  bool NeedsMemory(const GenerateSpec& spec) const;

  // Replaces the requests without a session by those that the journal has.
  void Restore(std::vector<std::shared_ptr<Request>> requests);

  // Forgets requests without a session that nobody may ask for any more.
  void Expire();

 private:
  using Reader = std::shared_ptr<GenerationReader>;

  std::shared_ptr<Request> Known(const GenerateSpec& spec, const Session* session) const;
  // `session` is null for a request without one.
  absl::StatusOr<Reader> Again(const GenerateSpec& spec, std::shared_ptr<Session> session,
                               std::shared_ptr<Request> request);
  absl::StatusOr<Reader> TakeUp(const GenerateSpec& spec, std::shared_ptr<Session> session,
                                std::shared_ptr<Request> request);
  absl::StatusOr<Reader> Begin(const GenerateSpec& spec, std::shared_ptr<Session> session);
  absl::Status CheckBegin(const GenerateSpec& spec, const Session* session) const;
  // Why the tenant can begin nothing now, if so.
  absl::Status CheckRoom(const std::string& tenant) const;
  // Of the requests without a session.
  RequestBook& BookOf(const std::string& tenant);
  // Of a request without a session.
  absl::StatusOr<std::shared_ptr<Session>> ThrowAway(const GenerateSpec& spec) const;
  std::shared_ptr<Request> NewRequest(const GenerateSpec& spec, const Session& session) const;

  const EngineContext* context_;
  SessionTable* sessions_;
  const AdapterTable* adapters_;
  StepLoop* loop_;
  const std::vector<memory::TokenId> end_tokens_;
  const std::function<void()> on_reader_change_;
  std::map<std::string, RequestBook> tenants_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_GENERATIONS_H_
