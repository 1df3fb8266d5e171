// Attention of chunks of one row: reads every key and value once, as fast as memory gives them.
//
// What: launches the decode kernels for the picked requests. A request's blocks are cut into
//   parts that depend on their number alone; parts are merged in a fixed order.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: bf16; head_dim 64 or 128, rotary_dim a multiple of 16, at most kMaxDecodeGroup
//   query heads a KV head; every picked chunk has one row.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/launch_queue.h"

namespace eidetic::cuda {

struct SpanArgs;

inline constexpr int32_t kMaxDecodeGroup = 8;

// For requests of at most `max_blocks` blocks each; grows in steps of powers of two.
size_t DecodeScratchBytes(int32_t requests, int32_t q_heads, int32_t head_dim, int64_t max_blocks);

// `scratch`: DecodeScratchBytes for args.pick.count requests.
void DecodeAttention(const SpanArgs& args, int64_t max_blocks, void* scratch, LaunchQueue* queue);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DECODE_ATTENTION_H_
