// Flow: an item is (chunk, KV head, tile of the chunk's rows). Tiles are cut at
// multiples that depend on the chunk alone, so that the mean of the span's
// softmax mass is always summed in the same order.
#include "engine/backend/cpu/span_attention.h"

#include <algorithm>

#include "engine/backend/cpu/chunk_items.h"

namespace eidetic::cpu {
namespace {

// Queries of a tile: enough that rotating a block costs little beside using it
// (3 %), few enough that a chunk of 512 rows keeps many threads busy.
constexpr int64_t kTileQueries = 96;
// Bounds the memory for the mass of each (query, span block) of a tile.
constexpr int64_t kMaxMassEntries = int64_t{1} << 20;

int64_t RowsOfTile(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const int64_t group = params.q_heads / params.layout.kv_heads;
  const int64_t span = std::max(request.span_count, 1);
  return std::max<int64_t>(1, std::min(kTileQueries, kMaxMassEntries / span) / group);
}

int64_t TilesOf(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const int64_t rows = RowsOfTile(params, request);
  return (params.chunks[request.chunk].row_count + rows - 1) / rows;
}

// One more than the highest position that a token of the request is rotated to.
int64_t PositionsOf(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  const int64_t size = params.layout.block_size;
  const int64_t end = (chunk.begin + chunk.row_count + size - 1) / size * size;
  if (!request.remap) return end;
  return end - request.window_begin + int64_t{request.sink_blocks + request.span_count} * size;
}

// Sums the tiles' mass in ascending order and takes the mean.
void ReduceMass(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                int64_t tiles, const double* mass) {
  const int64_t rows = params.chunks[request.chunk].row_count;
  const double share = 1.0 / static_cast<double>(rows * params.q_heads / params.layout.kv_heads);
  for (int64_t g = 0; g < params.layout.kv_heads; ++g) {
    for (int64_t i = 0; i < request.span_count; ++i) {
      double sum = 0;
      for (int64_t t = 0; t < tiles; ++t) sum += mass[(g * tiles + t) * params.max_span + i];
      request.mass[g * request.span_count + i] = static_cast<float>(sum * share);
    }
  }
}

}  // namespace

void SpanAttention(const SpanAttentionParams& params, RopeTable* rope,
                   std::vector<AttentionScratch>* scratch, ThreadPool* pool) {
  int64_t positions = 0;
  bool wants_mass = false;
  for (const SpanAttentionRequest& request : params.requests) {
    positions = std::max(positions, PositionsOf(params, request));
    wants_mass = wants_mass || request.mass != nullptr;
  }
  rope->Reserve(positions, pool);
  const ChunkItems items(params.requests.size(), [&](size_t i) {
    return params.layout.kv_heads * TilesOf(params, params.requests[i]);
  });
  std::vector<double> mass(wants_mass ? items.count() * params.max_span : 0);
  pool->ParallelFor(items.count(), [&](int64_t item, int worker) {
    const auto [index, part] = items.Locate(item);
    const SpanAttentionRequest& request = params.requests[index];
    const int64_t tiles = TilesOf(params, request), rows = RowsOfTile(params, request);
    const int64_t begin = part % tiles * rows;
    const int64_t end = std::min(begin + rows, params.chunks[request.chunk].row_count);
    AttendTile(params, request, {static_cast<int32_t>(part / tiles), begin, end}, *rope,
               &(*scratch)[worker],
               request.mass == nullptr ? nullptr : mass.data() + item * params.max_span);
  });
  for (size_t i = 0; i < params.requests.size(); ++i) {
    const SpanAttentionRequest& request = params.requests[i];
    if (request.mass == nullptr) continue;
    ReduceMass(params, request, TilesOf(params, request),
               mass.data() + items.begin(i) * params.max_span);
  }
}

}  // namespace eidetic::cpu
