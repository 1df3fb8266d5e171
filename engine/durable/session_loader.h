// Reads sessions and requests back from the journal.
//
// What: every session with its whole log, asleep; every request with what was told of it, as if
//   each reader had just left. Answers are made again from their tokens.
// Thread safety: none. Ownership: the caller owns what is returned; borrows the rest.
// Preconditions: nothing is submitted to the journal meanwhile.
// Errors: DATA_LOSS for records that contradict each other. One session's damage is that
//   session's alone: it is returned as damaged, with the reason. Records of a session without
//   its own are damage too. A damaged request without a session is left out, and logged.
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_LOADER_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_LOADER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/session.h"
#include "engine/session_table.h"
#include "engine/text/tokenizer.h"
#include "memory/durable/journal.h"

namespace eidetic {

struct LoadContext {
  const memory::Journal* journal = nullptr;
  const Tokenizer* tokenizer = nullptr;
  int32_t block_tokens = 0;
  int32_t vocab_size = 0;                  // a token beyond it is damage
  std::function<void()> on_reader_change;  // as GenerationRecord says
  // What a tenant's session is bound to, loaded or not.
  std::function<AdapterRef(const std::string& tenant, const AdapterBinding&)> adapter;
};

struct LoadedSessions {
  std::vector<std::shared_ptr<Session>> sessions;  // asleep, with their requests
  std::vector<std::shared_ptr<Request>> requests;  // without a session
  std::vector<RestoredCreation> creations;
  std::vector<DamagedSession> damaged;
  std::vector<LogId> logs;  // all that the journal has, ascending
};

absl::StatusOr<LoadedSessions> LoadSessions(const LoadContext& context);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_LOADER_H_
