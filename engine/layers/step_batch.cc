#include "engine/layers/step_batch.h"

#include <glog/logging.h>

#include <algorithm>
#include <functional>

#include "memory/session_memory.h"

namespace eidetic {

Buffer::~Buffer() {
  if (data_ != nullptr) arena_->Free(data_, bytes_);
}

void* Buffer::Ensure(size_t bytes) {
  if (bytes <= bytes_) return data_;
  if (data_ != nullptr) arena_->Free(data_, bytes_);
  absl::StatusOr<void*> fresh = arena_->Allocate(bytes);
  CHECK(fresh.ok()) << "no memory for a step's activations: raise --memory_bytes: "
                    << fresh.status();
  data_ = *fresh;
  bytes_ = bytes;
  return data_;
}

bool ReportsChoices(const StepChunk& chunk) {
  return chunk.kind == memory::TokenKind::kGenerated && chunk.memory->has_host_pages();
}

StepBatch MakeBatch(std::span<const StepChunk> chunks) {
  StepBatch batch;
  for (const StepChunk& chunk : chunks) {
    if (!chunk.tokens.empty()) batch.chunks.push_back(&chunk);
  }
  std::stable_sort(batch.chunks.begin(), batch.chunks.end(), [](auto* a, auto* b) {
    return std::less<const ModelAdapter*>()(a->adapter, b->adapter);
  });
  for (const StepChunk* chunk : batch.chunks) {
    const auto rows = static_cast<int64_t>(chunk->tokens.size());
    batch.row_begin.push_back(batch.rows);
    batch.states.push_back({.row_begin = batch.rows,
                            .row_count = rows,
                            .state_in = chunk->memory->state(),
                            .state_out = chunk->memory->next_state()});
    batch.ids.insert(batch.ids.end(), chunk->tokens.begin(), chunk->tokens.end());
    batch.adapters.Add(rows, chunk->adapter);
    batch.rows += rows;
  }
  return batch;
}

}  // namespace eidetic
