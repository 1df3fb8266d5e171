// Attention of some rows of a chunk against one KV head.
//
// Thread safety: one call at a time per scratch. Ownership: borrows everything.
// Preconditions: as SpanAttentionParams says; `rope` was made for its rotary_dim.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
#define EIDETIC_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/float_buffer.h"
#include "engine/backend/cpu/rope_table.h"

namespace eidetic::cpu {

// Working memory of one thread, kept between calls.
struct AttentionScratch {
  FloatBuffer queries, outputs, maxima, sums, block_sums;  // one entry (or row) a query
  FloatBuffer weights, keys, values, rope;                 // of one block
  FloatBuffer span_sums, span_maxima;                      // [query][span block]
};

struct TileRows {
  int32_t kv_head = 0;
  int64_t begin = 0, end = 0;  // rows of the chunk; a query is one row and one query head
};

// Writes the rows' outputs. Adds to mass[i] the softmax mass of span block i,
// summed over the tile's queries, unless `mass` is null.
void AttendTile(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                const TileRows& rows, const RopeTable& rope, AttentionScratch* scratch,
                double* mass);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
