// An engine put together from parts that were made elsewhere.
//
// What: what Engine::Create does once the model folder is read; tests give fakes.
// Thread safety: as Engine. Ownership: the engine takes model and tokenizer;
//   arena, indexer and observer outlive it. Preconditions: model and tokenizer belong together.
#ifndef EIDETIC_ENGINE_ENGINE_PARTS_H_
#define EIDETIC_ENGINE_ENGINE_PARTS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/journal.h"

namespace eidetic {

struct EngineParts {
  std::unique_ptr<HybridModel> model;
  std::unique_ptr<Tokenizer> tokenizer;
  memory::Arena* arena = nullptr;
  memory::BlockIndexer* indexer = nullptr;
  memory::Arena* host_arena = nullptr;                 // as Backend::host_arena
  std::unique_ptr<memory::Journal> journal = nullptr;  // null: nothing outlives the process
  // Null: there are no checkpoints, sessions are computed again from their logs.
  std::unique_ptr<memory::ExtentStore> extents = nullptr;
  // Of what computes, as checkpoints are bound to: Backend's, and BuildId().
  std::string build = "", device_kind = "", page_form = "";
  bool finds_late_pages = false;  // as Backend's
  Engine::Options options;
  std::function<absl::Time()> now = absl::Now;  // called on the loop's thread
};

// INVALID_ARGUMENT: a limit out of range, or a tokenizer with more tokens than the model. What
// the journal has is there again before this returns; DATA_LOSS when it can not be read.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(EngineParts parts);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ENGINE_PARTS_H_
