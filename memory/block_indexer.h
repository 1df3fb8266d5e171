// The small interface through which memory/ has blocks summarised.
//
// What: builds the index of blocks that are there already, when a fork asks for another kind
//   of summary. The backends implement it: they alone can read what they wrote.
// Thread safety: as Arena. Ownership: borrows everything. Preconditions: as stated.
#ifndef EIDETIC_MEMORY_BLOCK_INDEXER_H_
#define EIDETIC_MEMORY_BLOCK_INDEXER_H_

#include "memory/ids.h"
#include "memory/page_layout.h"
#include "memory/span_rules.h"

namespace eidetic::memory {

class BlockIndexer {
 public:
  virtual ~BlockIndexer() = default;

  // Writes the summaries of blocks [0, blocks), all complete, of one layer. `pages` and `tiles`
  // are tables in the arena, one address a block and a tile.
  virtual void Summarize(const PageLayout& layout, SummaryKind kind, void* const* pages,
                         void* const* tiles, BlockIndex blocks) = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_BLOCK_INDEXER_H_
