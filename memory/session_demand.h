// What one session takes of the stores, by formula, before it takes anything.
//
// Thread safety: pure. Ownership: values. Preconditions: settings passed Validate.
//
// Of a session of n tokens, with L attention layers, blocks of S tokens, query chunks of C:
//   state    2 slots: what is published, and what a step writes
//   near     L · min(⌈n/S⌉, sinks + ⌈W/S⌉ + ⌈C/S⌉ + 3) pages on the device: sinks, window and a
//            chunk, with a block for each border that need not be at a block's; policy FULL: all
//   index    L · ⌈⌈n/S⌉/16⌉ tiles on the device, if its policy retrieves
//   distant  the rest of its L · ⌈n/S⌉ pages, on the device as far as it has room, else on the host
// The span takes no pages: a kernel reads it where it is, and copies are made of what is free.
//
// Worked example, L = 2, S = 16, W = 32, C = 32, one sink: 1,000 tokens are 63 blocks. Near are
// 1 + 2 + 2 + 3 = 8 of them, 16 pages; distant 110 pages; the index takes 2 · 4 tiles.
#ifndef EIDETIC_MEMORY_SESSION_DEMAND_H_
#define EIDETIC_MEMORY_SESSION_DEMAND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "memory/ids.h"
#include "memory/span_settings.h"

namespace eidetic::memory {

struct MemoryGeometry;

struct SessionDemand {
  int32_t state_slots = 2;
  int64_t near_pages = 0;
  int64_t tiles = 0;
  int64_t distant_pages = 0;
  int64_t bytes = 0;  // of all of these

  // "2 state slots, 16 pages on the device, 8 tiles of index, 110 pages on either tier (…bytes)".
  std::string ToString() const;
};

// Blocks that must be on the device at once while chunks of `chunk_tokens` are computed.
int64_t NearBlocks(const SpanSettings& settings, int32_t block_size, int32_t chunk_tokens,
                   int64_t blocks);

SessionDemand DemandOf(const MemoryGeometry& geometry, const SpanSettings& settings, Position end,
                       int32_t chunk_tokens);

// `status` as it is, but that a RESOURCE_EXHAUSTED is marked as one that passes once others gave
// memory back; who asked may wait.
absl::Status MarkShortage(absl::Status status);
bool IsShortage(const absl::Status& status);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SESSION_DEMAND_H_
