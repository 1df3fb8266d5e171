// Attention over sinks, span and window.
//
// What: the launcher of SpanAttention; params.h says the rest. Bf16 with a head_dim of 64 or
//   128 goes to decode_attention.h (chunks of one row) and prefill_attention.h (others),
//   everything else to a plain kernel.
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: params are checked; pages are aligned to 16; context->rope is there.
//
// A row's result depends on its own chunk alone, in every mode.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_H_

#include "engine/backend/cuda/context.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

void SpanAttention(const SpanAttentionParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_H_
