// Which tokens one query chunk attends to: SE-Attn's sets, as numbers.
//
// Thread safety: pure. Ownership: none. Preconditions: settings passed Validate.
// Source: Span-Expanded Attention, arXiv 2412.13328.
//
// Worked example, S = 32, W = 512, one sink block, k = 8, chunk [2000, 2512):
//   window from floor((2000 - 512) / 32) * 32 = 1472; distant blocks [1, 46);
//   span of 8; with re-mapping the window begins at position (1 + 8) * 32 = 288.
#ifndef EIDETIC_ENGINE_LAYERS_SPAN_PLAN_H_
#define EIDETIC_ENGINE_LAYERS_SPAN_PLAN_H_

#include <cstdint>

#include "memory/ids.h"
#include "memory/span_settings.h"
#include "memory/token_log.h"

namespace eidetic {

struct SpanPlan {
  memory::Position window_begin = 0;       // w0, a multiple of the block size
  int32_t sink_blocks = 0;                 // sinks that lie before the window
  memory::BlockIndex first = 0, last = 0;  // distant blocks [first, last)
  int32_t span_count = 0;                  // blocks that the span takes; 0: none
  bool remap = false;
};

// `retrieves`: whether the layer does at all.
SpanPlan PlanSpan(const memory::SpanSettings& settings, int32_t block_size, bool retrieves,
                  memory::Position chunk_begin, memory::TokenKind kind);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_SPAN_PLAN_H_
