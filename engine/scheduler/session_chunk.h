// The next query chunk of a session, ready for a step.
//
// Thread safety: pure. Ownership: the chunk borrows the session's log and memory.
// Preconditions: the session's memory is working.
#ifndef EIDETIC_ENGINE_SCHEDULER_SESSION_CHUNK_H_
#define EIDETIC_ENGINE_SCHEDULER_SESSION_CHUNK_H_

#include <algorithm>

#include "engine/layers/hybrid_model.h"
#include "engine/session.h"

namespace eidetic {

// Without output. Its tokens are empty when everything in the log is computed.
inline StepChunk SessionChunk(const Session& session, int32_t query_chunk_tokens) {
  const memory::Chunk chunk = session.log.ChunkAt(session.computed(), query_chunk_tokens);
  StepChunk step_chunk;
  step_chunk.tokens = session.log.Slice(chunk.begin, chunk.end);
  step_chunk.begin = chunk.begin;
  step_chunk.kind = chunk.kind;
  step_chunk.recomputed = std::max<int64_t>(0, std::min(chunk.end, session.seen) - chunk.begin);
  step_chunk.memory = session.memory.get();
  step_chunk.settings = session.settings.At(chunk.begin);
  if (session.adapter != nullptr) step_chunk.adapter = session.adapter->weights.get();
  return step_chunk;
}

inline memory::Position EndOf(const StepChunk& chunk) {
  return chunk.begin + static_cast<memory::Position>(chunk.tokens.size());
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_SESSION_CHUNK_H_
