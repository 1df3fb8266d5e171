#include "engine/layers/step_batch.h"

#include <glog/logging.h>

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

StepBatch MakeBatch(std::span<const StepChunk> chunks) {
  StepBatch batch;
  for (const StepChunk& chunk : chunks) {
    if (chunk.tokens.empty()) continue;
    batch.chunks.push_back(&chunk);
    batch.row_begin.push_back(batch.rows);
    batch.ids.insert(batch.ids.end(), chunk.tokens.begin(), chunk.tokens.end());
    batch.rows += static_cast<int64_t>(chunk.tokens.size());
  }
  return batch;
}

std::span<const StateSpan> StateSpans(StepBatch* batch, size_t offset) {
  std::vector<StateSpan>& spans = batch->state_spans.emplace_back(batch->chunks.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    memory::SessionMemory* memory = batch->chunks[i]->memory;
    spans[i].row_begin = batch->row_begin[i];
    spans[i].row_count = static_cast<int64_t>(batch->chunks[i]->tokens.size());
    spans[i].state_in = static_cast<const std::byte*>(memory->state()) + offset;
    spans[i].state_out = static_cast<std::byte*>(memory->next_state()) + offset;
  }
  return spans;
}

}  // namespace eidetic
