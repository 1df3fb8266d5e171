// A unit of work on a session, as the step loop sees it.
//
// Thread safety: none; the loop's thread calls everything. Ownership: a sequence
//   holds its session and its SessionWork until it ends, and lets them go before it
//   tells anyone that it has ended. Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_SEQUENCE_H_
#define EIDETIC_ENGINE_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/durable/ledger.h"
#include "engine/durable/session_journal.h"
#include "engine/engine.h"
#include "engine/layers/hybrid_model.h"
#include "engine/scheduler/tenant_book.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

// What all sequences of one engine share; outlives them.
struct EngineContext {
  const Tokenizer* tokenizer = nullptr;
  EngineObserver* observer = nullptr;  // not null
  Ledger* ledger = nullptr;            // not null
  SessionJournal* journal = nullptr;   // not null
  TenantBook* tenants = nullptr;       // not null
  std::function<absl::Time()> now;
  EngineLimits limits;
};

class Sequence {
 public:
  virtual ~Sequence() = default;

  enum class State : uint8_t {
    kReady,    // has a chunk for the next step
    kPaused,   // has one, but its reader is behind
    kWaiting,  // has nothing to compute now
    kEnded,
  };
  // Called before each step. Work that nobody waits for any more ends here.
  virtual State Look() = 0;
  // Precondition: Look() gave kReady or kPaused.
  virtual StepChunk NextChunk() = 0;
  // A step computed `chunk`, and its memory is published.
  virtual void Apply(const StepChunk& chunk, ChunkResult result) = 0;
  // The engine goes: ends the work and tells `why` to all who wait.
  virtual void Cancel(const absl::Status& why) = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_SEQUENCE_H_
