// Attention of chunks of several rows, by tiles in shared memory.
//
// What: launches the prefill kernel for the picked requests. A tile is cut from the chunk's
//   own first row on, so a row's result depends on its chunk alone.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: bf16; head_dim 64 or 128, rotary_dim a multiple of 16; q and out aligned to 16
//   bytes, q_stride a multiple of 8.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_ATTENTION_H_

#include <cstdint>

#include "engine/backend/cuda/launch_queue.h"

namespace eidetic::cuda {

struct SpanArgs;

// `max_rows`: of the picked requests' chunks.
void PrefillAttention(const SpanArgs& args, int64_t max_rows, LaunchQueue* queue);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_PREFILL_ATTENTION_H_
