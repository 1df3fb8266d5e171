#include "memory/session_demand.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "memory/session_memory.h"

namespace eidetic::memory {
namespace {

constexpr char kShortage[] = "eidetic.memory/shortage";

int64_t CeilOf(int64_t a, int64_t b) { return a / b + (a % b != 0); }

}  // namespace

std::string SessionDemand::ToString() const {
  return absl::StrCat(state_slots, " state slots, ", near_pages, " pages on the device, ", tiles,
                      " tiles of index and ", distant_pages, " pages on either tier: ", bytes,
                      " bytes");
}

int64_t NearBlocks(const SpanSettings& settings, int32_t block_size, int32_t chunk_tokens,
                   int64_t blocks) {
  if (settings.policy == AttentionPolicy::kFull) return blocks;
  const int64_t borders = 3;  // of the window's begin, the chunk's begin and its end
  return std::min(blocks, settings.sink_blocks + CeilOf(settings.window_tokens, block_size) +
                              CeilOf(chunk_tokens, block_size) + borders);
}

SessionDemand DemandOf(const MemoryGeometry& geometry, const SpanSettings& settings, Position end,
                       int32_t chunk_tokens) {
  const PageLayout& layout = geometry.layout;
  const SummaryKind summary = SummaryFor(settings, geometry.bounding);
  const int64_t layers = geometry.attention_layers;
  const int64_t blocks = CeilOf(std::max<Position>(end, 0), layout.block_size);
  const int64_t near = NearBlocks(settings, layout.block_size, chunk_tokens, blocks);
  SessionDemand demand{.near_pages = layers * near, .distant_pages = layers * (blocks - near)};
  if (summary != SummaryKind::kNone) demand.tiles = layers * CeilOf(blocks, kTileBlocks);
  demand.bytes = static_cast<int64_t>(demand.state_slots * geometry.state_bytes +
                                      layers * blocks * layout.page_bytes() +
                                      demand.tiles * layout.tile_bytes(summary));
  return demand;
}

absl::Status MarkShortage(absl::Status status) {
  if (absl::IsResourceExhausted(status)) status.SetPayload(kShortage, absl::Cord());
  return status;
}

bool IsShortage(const absl::Status& status) { return status.GetPayload(kShortage).has_value(); }

}  // namespace eidetic::memory
