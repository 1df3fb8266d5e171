// Attention over sinks, expansion span and window.
//
// Thread safety: one call at a time per pool, rope table and scratch.
// Ownership: borrows everything. Preconditions: as SpanAttentionParams says;
//   checked by the caller; `rope` was made for the parameters' rotary_dim and theta.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SPAN_ATTENTION_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SPAN_ATTENTION_H_

#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/attention_tile.h"
#include "engine/backend/cpu/rope_table.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

// `scratch` holds one entry for each of the pool's threads.
void SpanAttention(const SpanAttentionParams& params, RopeTable* rope,
                   std::vector<AttentionScratch>* scratch, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SPAN_ATTENTION_H_
