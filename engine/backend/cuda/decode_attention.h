// Attention of chunks of one row: reads every key and value once, as fast as memory gives them.
//
// What: launches the decode kernels for the picked requests. A request's blocks are cut into
//   parts that depend on their number alone (and, unless the backend is batch-invariant, on
//   whether the batch has many rows); parts are merged in a fixed order.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: bf16; head_dim 64 or 128, rotary_dim a multiple of 16, at most kMaxDecodeGroup
//   query heads a KV head; every picked chunk has one row.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/context.h"
#include "engine/backend/cuda/launch_queue.h"

namespace eidetic::cuda {

struct SpanArgs;

inline constexpr int32_t kMaxDecodeGroup = 8;

// What the launches of a batch are made for.
struct DecodeShape {
  int32_t requests = 0;  // of a launch, at most
  int32_t q_heads = 0, head_dim = 0;
  int64_t max_blocks = 0;  // of the longest list
  int32_t least = 0;       // LeastPartBlocks
};

// How many blocks a part has at least; `heads`: rows times KV heads of the batch.
int32_t LeastPartBlocks(int64_t heads, const Context& context);

// Grows in steps of powers of two of max_blocks.
size_t DecodeScratchBytes(const DecodeShape& shape);

// `scratch`: DecodeScratchBytes.
void DecodeAttention(const SpanArgs& args, const DecodeShape& shape, void* scratch,
                     LaunchQueue* queue);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_
