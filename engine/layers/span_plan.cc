#include "engine/layers/span_plan.h"

#include <algorithm>

namespace eidetic {

using memory::AttentionPolicy;
using memory::BlockIndex;

SpanPlan PlanSpan(const memory::SpanSettings& settings, int32_t block_size, bool retrieves,
                  memory::Position chunk_begin, memory::TokenKind kind) {
  SpanPlan plan;
  if (settings.policy == AttentionPolicy::kFull) return plan;
  plan.remap = settings.remap_positions;
  const memory::Position before = chunk_begin - settings.window_tokens;
  const BlockIndex window_block =
      static_cast<BlockIndex>(std::max<int64_t>(0, before / block_size));
  plan.window_begin = int64_t{window_block} * block_size;
  plan.sink_blocks = std::min(settings.sink_blocks, window_block);
  plan.first = plan.sink_blocks;
  plan.last = window_block;
  const bool chunk_retrieves =
      settings.policy == AttentionPolicy::kSeAttn && retrieves &&
      (kind == memory::TokenKind::kGenerated || settings.retrieve_in_prefill);
  if (chunk_retrieves) plan.span_count = std::min(settings.span_blocks, plan.last - plan.first);
  return plan;
}

}  // namespace eidetic
