#include "engine/backend/cpu/append_kv.h"

#include <algorithm>

#include "engine/backend/cpu/chunk_items.h"
#include "memory/span_retrieval.h"

namespace eidetic::cpu {
namespace {

// Token `slot` of a block: key [kv_heads * head_dim] and value, into the page.
void WriteToken(const memory::PageLayout& layout, const float* key, const float* value,
                int64_t slot, void* page) {
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    float* keys = layout.Keys(page, g) + slot;
    const float* from = key + int64_t{g} * layout.head_dim;
    for (int32_t d = 0; d < layout.head_dim; ++d) keys[int64_t{d} * layout.block_size] = from[d];
    std::copy_n(value + int64_t{g} * layout.head_dim, layout.head_dim,
                layout.Values(page, g) + slot * layout.head_dim);
  }
}

// The chunk's tokens that fall into `block`.
void WriteBlock(const AppendKvParams& params, const AttentionChunk& chunk, int64_t block) {
  const int64_t size = params.layout.block_size;
  const int64_t first = std::max(chunk.begin, block * size);
  const int64_t last = std::min(chunk.begin + chunk.row_count, (block + 1) * size);
  void* page = chunk.pages[block];
  for (int64_t position = first; position < last; ++position) {
    const int64_t offset = (chunk.row_begin + position - chunk.begin) * params.kv_stride;
    WriteToken(params.layout, static_cast<const float*>(params.k) + offset,
               static_cast<const float*>(params.v) + offset, position - block * size, page);
  }
  if (last == (block + 1) * size && chunk.summary != memory::SummaryKind::kNone) {
    memory::SummarizeBlock(params.layout, chunk.summary, page,
                           static_cast<memory::BlockIndex>(block),
                           chunk.tiles[block / memory::kTileBlocks]);
  }
}

}  // namespace

void AppendKv(const AppendKvParams& params, ThreadPool* pool) {
  const int64_t size = params.layout.block_size;
  const auto first_block = [&](const AttentionChunk& chunk) { return chunk.begin / size; };
  const ChunkItems items(params.chunks.size(), [&](size_t i) {
    const AttentionChunk& chunk = params.chunks[i];
    return (chunk.begin + chunk.row_count - 1) / size - first_block(chunk) + 1;
  });
  pool->ParallelFor(items.count(), [&](int64_t item, int) {
    const auto [index, part] = items.Locate(item);
    const AttentionChunk& chunk = params.chunks[index];
    WriteBlock(params, chunk, first_block(chunk) + part);
  });
}

}  // namespace eidetic::cpu
