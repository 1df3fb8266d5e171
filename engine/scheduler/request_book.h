// The generations of one session (or of one tenant without a session) that may be
// asked for again by their request id.
//
// Thread safety: none; the engine's loop owns it. Ownership: shares its requests
//   with the work that runs for them. Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_REQUEST_BOOK_H_
#define EIDETIC_ENGINE_SCHEDULER_REQUEST_BOOK_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/durable/session_records.h"
#include "engine/scheduler/generation.h"
#include "engine/scheduler/generation_record.h"
#include "memory/token_log.h"

namespace eidetic {

// One generation: what was told, and what is needed to go on.
struct Request {
  RequestKey key;
  RequestRecord facts;
  std::shared_ptr<GenerationRecord> record;
  std::unique_ptr<Generation> generation;  // null once it has ended
  bool running = false;
  bool ended = false;  // the record has its last event, or will once that is durable

  // Interrupted: every reader left before the end.
  memory::Position stopped_at = 0;
  // The log of its throw-away session, from which the memory can be computed again.
  std::optional<memory::TokenLog> log;
};

class RequestBook {
 public:
  // Null: unknown.
  std::shared_ptr<Request> Find(const std::string& id) const;
  // Makes room by forgetting the one that has rested longest, ended ones first.
  // RESOURCE_EXHAUSTED when all of `limit` are running. Precondition: `id` is unknown.
  absl::Status Add(const std::string& id, std::shared_ptr<Request> request, int32_t limit);
  // Forgets what has rested since before `before`.
  void Expire(absl::Time before);
  // Forgets the requests of a session that reach beyond `position` of it.
  // Precondition: none of them is running.
  void ForgetBeyond(memory::Position position);
  // Calls `forgotten` for each request that makes room or expires from now on.
  void OnForget(std::function<void(const Request&)> forgotten);
  bool empty() const { return requests_.empty(); }

 private:
  std::map<std::string, std::shared_ptr<Request>> requests_;
  std::function<void(const Request&)> forgotten_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_REQUEST_BOOK_H_
