// Bitwise invariance of appending, retrieving and attending.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/invariance.h"

namespace eidetic {
namespace {

constexpr int32_t kQueryHeads = 6, kKvHeads = 2, kHeadDim = 24, kSpan = 3;
constexpr int64_t kQueryWidth = kQueryHeads * kHeadDim, kKvWidth = kKvHeads * kHeadDim;
constexpr memory::PageLayout kLayout{.block_size = 32, .kv_heads = kKvHeads, .head_dim = kHeadDim};

// Sequences, each with its own pages, and a chunk at the end of each.
struct Sequence {
  uint64_t seed;
  int64_t context, rows;
};

class AttentionBatch {
 public:
  AttentionBatch(OpRun& run, std::span<const Sequence> sequences, int64_t window)
      : run_(run), pages_(sequences.size()), tiles_(sequences.size()) {
    for (size_t i = 0; i < sequences.size(); ++i) Add(sequences[i], i, window);
    Append(history_, 0);
    Append(chunks_, 1);
  }

  // A part is a chunk's outputs, its span's mass, its pages and its index.
  Parts Run() {
    const int64_t rows = static_cast<int64_t>(queries_.size()) / kQueryWidth;
    const float* q = run_.Floats(queries_);
    const auto choices = static_cast<int64_t>(retrievals_.size()) * kKvHeads * kSpan;
    auto* blocks = static_cast<int32_t*>(run_.Zeros(choices + 1));
    run_->RetrieveSpan({.q = q,
                        .q_stride = kQueryWidth,
                        .q_heads = kQueryHeads,
                        .layout = kLayout,
                        .chunks = chunks_,
                        .requests = retrievals_,
                        .blocks = blocks,
                        .max_span = kSpan});
    void* out = run_.Zeros(rows * kQueryWidth);
    run_->SpanAttention({.q = q,
                         .q_stride = kQueryWidth,
                         .q_heads = kQueryHeads,
                         .layout = kLayout,
                         .rotary_dim = 12,
                         .scale = 0.2f,
                         .chunks = chunks_,
                         .requests = requests_,
                         .blocks = blocks,
                         .max_span = kSpan,
                         .out = out});
    return Collect(run_.ReadFloats(out, rows * kQueryWidth));
  }

 private:
  static void Extend(std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
  }

  void Add(const Sequence& sequence, size_t index, int64_t window) {
    const auto [seed, context, rows] = sequence;
    for (int64_t b = 0; b * 32 < context + rows; ++b) {
      pages_[index].push_back(run_.Zeros(kLayout.page_bytes() / 4));
      if (b % memory::kTileBlocks == 0) {
        tiles_[index].push_back(run_.Zeros(kLayout.tile_bytes(memory::SummaryKind::kBounds) / 4));
      }
    }
    const AttentionChunk chunk{.row_begin = static_cast<int64_t>(queries_.size()) / kQueryWidth,
                               .row_count = rows,
                               .begin = context,
                               .pages = pages_[index].data(),
                               .tiles = tiles_[index].data(),
                               .summary = memory::SummaryKind::kBounds};
    AttentionChunk before = chunk;
    before.row_begin = static_cast<int64_t>(kv_[0].size()) / (2 * kKvWidth);
    before.row_count = context;
    before.begin = 0;
    if (context > 0) history_.push_back(before);
    chunks_.push_back(chunk);
    // Token by token, so that a longer chunk has a shorter one's tokens.
    for (int64_t t = 0; t < context + rows; ++t) {
      Extend(kv_[t < context ? 0 : 1], Random(2 * kKvWidth, seed + 2 * t));
      if (t >= context) Extend(queries_, Random(kQueryWidth, seed + 2 * t + 1));
    }
    AddRequest(static_cast<int32_t>(index), context, window);
  }

  void AddRequest(int32_t chunk, int64_t context, int64_t window) {
    const auto window_block = static_cast<int32_t>(std::max<int64_t>(0, context - window) / 32);
    SpanAttentionRequest request{.chunk = chunk, .window_begin = int64_t{window_block} * 32};
    if (window_block > kSpan) {
      request.sink_blocks = 1;
      request.span_row = static_cast<int32_t>(retrievals_.size());
      request.span_count = kSpan;
      request.mass = static_cast<float*>(run_.Zeros(kKvHeads * kSpan));
      retrievals_.push_back({.chunk = chunk,
                             .first = 1,
                             .last = window_block,
                             .span_blocks = kSpan,
                             .first_candidates = 4,
                             .candidate_budget = 100});
    }
    requests_.push_back(request);
  }

  void Append(std::span<const AttentionChunk> chunks, int which) {
    if (chunks.empty()) return;
    const float* rows = run_.Floats(kv_[which]);
    run_->AppendKv({.k = rows,
                    .v = rows + kKvWidth,
                    .kv_stride = 2 * kKvWidth,
                    .layout = kLayout,
                    .chunks = chunks});
  }

  Parts Collect(const std::vector<float>& outputs) {
    Parts parts;
    for (size_t i = 0; i < chunks_.size(); ++i) {
      const int64_t begin = chunks_[i].row_begin * kQueryWidth;
      parts.push_back(Slice(outputs, begin, begin + chunks_[i].row_count * kQueryWidth));
      if (requests_[i].mass != nullptr) {
        Extend(parts.back(), run_.ReadFloats(requests_[i].mass, kKvHeads * kSpan));
      }
      for (void* page : pages_[i])
        Extend(parts.back(), run_.ReadFloats(page, kLayout.page_bytes() / 4));
      for (void* tile : tiles_[i]) {
        Extend(parts.back(),
               run_.ReadFloats(tile, kLayout.tile_bytes(memory::SummaryKind::kBounds) / 4));
      }
    }
    return parts;
  }

  OpRun& run_;
  std::vector<std::vector<void*>> pages_, tiles_;
  std::vector<AttentionChunk> history_, chunks_;
  std::vector<RetrievalRequest> retrievals_;
  std::vector<SpanAttentionRequest> requests_;
  std::vector<float> queries_, kv_[2];  // keys | values of the history, of the chunks
};

TEST(AttentionInvarianceTest, AppendRetrieveAttend) {
  // The first token of all, decode, a chunk of several tiles, a chunk of two.
  const Sequence kSequences[] = {{1000, 0, 1}, {5000, 500, 1}, {9000, 640, 70}, {20000, 333, 40}};
  ExpectInvariant(4, [&](OpRun& run, int64_t first, int64_t last) {
    const auto part = std::span(kSequences).subspan(first, last - first);
    return AttentionBatch(run, part, /*window=*/128).Run();
  });
}

// With the same blocks before it, a token's row is the same however many rows
// its chunk has: tiles and their partly masked blocks change nothing.
TEST(AttentionInvarianceTest, RowsOfAChunkEqualRowsAlone) {
  const int64_t window = 1 << 20;  // all blocks, always
  OpRun run(CreateCpuBackend({.threads = 2}));
  const Sequence whole{1000, 50, 100};
  const std::vector<float> chunk = AttentionBatch(run, {&whole, 1}, window).Run()[0];
  for (const int64_t row : {0, 13, 14, 31, 32, 45, 46, 99}) {
    const Sequence alone{1000, 50 + row, 1};
    const std::vector<float> one = AttentionBatch(run, {&alone, 1}, window).Run()[0];
    EXPECT_TRUE(SameBits(Slice(one, 0, kQueryWidth),
                         Slice(chunk, row * kQueryWidth, (row + 1) * kQueryWidth)))
        << "row " << row;
  }
}

}  // namespace
}  // namespace eidetic
