// A BlockIndexer for pages in host memory, laid out as page_layout.h says.
//
// Thread safety: pure. Ownership: borrows everything. Preconditions: as BlockIndexer.
#ifndef EIDETIC_MEMORY_HOST_INDEXER_H_
#define EIDETIC_MEMORY_HOST_INDEXER_H_

#include "memory/block_indexer.h"
#include "memory/span_retrieval.h"

namespace eidetic::memory {

class HostIndexer final : public BlockIndexer {
 public:
  void Summarize(const PageLayout& layout, SummaryKind kind, void* const* pages, void* const* tiles,
                 BlockIndex blocks) override {
    for (BlockIndex block = 0; block < blocks; ++block) {
      SummarizeBlock(layout, kind, pages[block], block, tiles[block / kTileBlocks]);
    }
  }
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_HOST_INDEXER_H_
