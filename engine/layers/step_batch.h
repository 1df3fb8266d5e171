// The ragged batch of one step, as the layers see it, and their working memory.
//
// Thread safety: none. Ownership: Buffer owns its bytes and borrows the arena, which
//   must outlive it. Preconditions: CHECKed.
#ifndef EIDETIC_ENGINE_LAYERS_STEP_BATCH_H_
#define EIDETIC_ENGINE_LAYERS_STEP_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/layers/batch_adapters.h"
#include "engine/layers/hybrid_model.h"

namespace eidetic {

// Working memory that grows and is used again from step to step.
class Buffer {
 public:
  explicit Buffer(memory::Arena* arena) : arena_(arena) {}
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `bytes`; what stood there before is lost when it grows. CHECKs that the
  // arena has room: the limits on a step's rows bound it.
  void* Ensure(size_t bytes);
  void* data() const { return data_; }

 private:
  memory::Arena* arena_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Chunks that have tokens, laid end to end. Chunks of 2, 3 and 4 tokens begin at
// rows 0, 2 and 5, and `rows` is 9. Those of one adapter stand together, so that operations read
// its weights once.
//
// Operations may run after their call returns, so whatever host memory they are given
// is kept here until the step has ended.
struct StepBatch {
  int64_t rows = 0;
  std::vector<memory::TokenId> ids;      // [rows]
  std::vector<const StepChunk*> chunks;  // those with tokens
  std::vector<int64_t> row_begin;        // [chunks]
  std::vector<StateSpan> states;         // [chunks]
  std::vector<const void*> hidden_from;  // [chunks]: the last row of each,
  std::vector<void*> hidden_to;          // [chunks]: and where in the slot it is kept
  mutable BatchAdapters adapters;        // the tables that layers make of it stay here
};

// Whether the blocks that it chooses decide which pages come to the device.
bool ReportsChoices(const StepChunk& chunk);

StepBatch MakeBatch(std::span<const StepChunk> chunks);

// `base` advanced by `elements` activations.
inline void* Offset(void* base, int64_t elements, size_t activation_bytes) {
  return static_cast<std::byte*>(base) + elements * static_cast<int64_t>(activation_bytes);
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_STEP_BATCH_H_
