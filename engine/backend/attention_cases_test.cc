// Keys and values into pages, retrieval and attention, against the oracle.
#include <algorithm>
#include <cmath>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/reference_backend.h"

namespace eidetic {
namespace {

using memory::kTileBlocks;

struct AttentionCase {
  const char* name;
  int32_t q_heads = 6, kv_heads = 2, head_dim = 64, rotary_dim = 32, block_size = 32;
  int64_t context = 700;  // tokens before the chunk
  int64_t rows = 5;
  int32_t sinks = 1, span = 4;
  int64_t window = 256;
  bool remap = true;
};

const AttentionCase kCases[] = {
    {.name = "demo"},
    {.name = "demo, one row", .rows = 1},
    {.name = "demo, chunk of several tiles", .rows = 100},
    {.name = "first token of all", .context = 0, .rows = 1, .sinks = 0, .span = 0},
    {.name = "first chunk", .context = 0, .rows = 70, .sinks = 0, .span = 0},
    {.name = "ends at a block's end", .context = 704, .rows = 32},
    {.name = "begins at a block's last token", .context = 703, .rows = 2},
    {.name = "true positions", .remap = false},
    {.name = "no sinks", .sinks = 0},
    {.name = "three sinks, no span", .sinks = 3, .span = 0},
    {.name = "every distant block", .sinks = 1, .span = 12},
    {.name = "full attention", .sinks = 0, .span = 0, .window = 1 << 20, .remap = false},
    {.name = "no rotation", .rotary_dim = 0},
    {.name = "rotation of every channel", .rotary_dim = 64},
    {.name = "two channels turn", .rotary_dim = 2},
    {.name = "mamba2attn-2.7b",
     .q_heads = 30,
     .kv_heads = 30,
     .head_dim = 128,
     .rotary_dim = 64,
     .context = 200,
     .rows = 2,
     .span = 1,
     .window = 64},
    {.name = "bamba-9b",
     .q_heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .rotary_dim = 64,
     .context = 300,
     .rows = 3,
     .span = 2,
     .window = 128},
    {.name = "one KV head", .q_heads = 5, .kv_heads = 1},
    {.name = "a KV head a query head", .q_heads = 3, .kv_heads = 3},
    {.name = "more query heads than a tile has rows", .q_heads = 26, .kv_heads = 2},
    {.name = "block size 16, head_dim 20", .head_dim = 20, .rotary_dim = 10, .block_size = 16},
    {.name = "head_dim 1", .head_dim = 1, .rotary_dim = 0},
    {.name = "head_dim 48", .head_dim = 48, .rotary_dim = 48},
    {.name = "block size 48", .block_size = 48, .context = 480, .rows = 50, .span = 3},
    {.name = "block size 256", .block_size = 256, .context = 1100, .rows = 20, .span = 2},
};

// A sequence with its pages, its index and one chunk at its end.
class Scene {
 public:
  // `absolute` takes the magnitudes of the values.
  Scene(const AttentionCase& c, bool absolute, OpRun& run) : c_(c), run_(run) {
    layout_ = {.block_size = c.block_size, .kv_heads = c.kv_heads, .head_dim = c.head_dim};
    const int64_t total = c.context + c.rows;
    const int64_t blocks = (total + c.block_size - 1) / c.block_size;
    for (int64_t b = 0; b < blocks; ++b) pages_.push_back(run.Zeros(layout_.page_bytes() / 4));
    for (int64_t b = 0; b < blocks; b += kTileBlocks) {
      tiles_.push_back(run.Zeros(layout_.tile_bytes(2) / 4));
    }
    const int64_t width = int64_t{c.kv_heads} * c.head_dim;
    keys_ = Random(total * width, 1);
    values_ = absolute ? Abs(Random(total * width, 2)) : Random(total * width, 2);
    queries_ = Random(c.rows * c.q_heads * c.head_dim, 3);
    q_ = run.Upload(queries_);
    if (c.context > 0) Append(0, c.context);
    Append(c.context, total);
  }

  // Every page's bytes.
  std::vector<float> Pages() {
    std::vector<float> all;
    for (void* page : pages_) {
      for (float value : run_.Read(page, layout_.page_bytes() / 4)) all.push_back(value);
    }
    return all;
  }

  int64_t window_begin() const {
    return std::max<int64_t>(0, c_.context - c_.window) / c_.block_size * c_.block_size;
  }

  // [kv_heads][span]; leaves them in the backend's memory for Attend.
  std::vector<int32_t> Retrieve(RetrievalStats* stats) {
    blocks_ = static_cast<int32_t*>(run_.Zeros(c_.kv_heads * c_.span));
    const AttentionChunk chunk = ChunkOf(c_.context, c_.context + c_.rows, 0);
    const RetrievalRequest request{.chunk = 0,
                                   .first = c_.sinks,
                                   .last = static_cast<int32_t>(window_begin() / c_.block_size),
                                   .span_blocks = c_.span,
                                   .first_candidates = 4,
                                   .candidate_budget = 1000};
    run_->RetrieveSpan({.q = q_,
                        .q_stride = QueryStride(),
                        .q_heads = c_.q_heads,
                        .layout = layout_,
                        .chunks = {&chunk, 1},
                        .requests = {&request, 1},
                        .blocks = blocks_,
                        .max_span = c_.span,
                        .stats = stats});
    run_->Synchronize();
    std::vector<int32_t> blocks(c_.kv_heads * c_.span);
    run_->CopyToHost(blocks.data(), blocks_, blocks.size() * sizeof(int32_t));
    return blocks;
  }

  // Outputs, then the span's mass.
  std::vector<float> Attend() {
    const AttentionChunk chunk = ChunkOf(c_.context, c_.context + c_.rows, 0);
    void* mass = run_.Zeros(c_.kv_heads * c_.span + 1);
    void* out = run_.Zeros(c_.rows * QueryStride());
    const SpanAttentionRequest request{.chunk = 0,
                                       .sink_blocks = c_.sinks,
                                       .span_row = c_.span > 0 ? 0 : -1,
                                       .span_count = c_.span,
                                       .window_begin = window_begin(),
                                       .remap = c_.remap,
                                       .mass = static_cast<float*>(mass)};
    run_->SpanAttention({.q = q_,
                         .q_stride = QueryStride(),
                         .q_heads = c_.q_heads,
                         .layout = layout_,
                         .rotary_dim = c_.rotary_dim,
                         .rope_theta = 10000.0f,
                         .scale = Scale(),
                         .chunks = {&chunk, 1},
                         .requests = {&request, 1},
                         .blocks = blocks_,
                         .max_span = c_.span,
                         .out = out});
    std::vector<float> result = run_.Read(out, c_.rows * QueryStride());
    for (float share : run_.Read(mass, c_.kv_heads * c_.span)) result.push_back(share);
    return result;
  }

  // A score's error: a chain of head_dim + 6 roundings over |q||k|, and the
  // cosines' and sines' own.
  double ScoreError() const {
    const auto longest = [&](const std::vector<float>& vectors) {
      double best = 0;
      for (size_t i = 0; i < vectors.size(); i += c_.head_dim) {
        double squares = 0;
        for (int32_t d = 0; d < c_.head_dim; ++d) squares += vectors[i + d] * vectors[i + d];
        best = std::max(best, std::sqrt(squares));
      }
      return best;
    };
    return (c_.head_dim + 6) * kEps * Scale() * longest(queries_) * longest(keys_);
  }

 private:
  int64_t QueryStride() const { return int64_t{c_.q_heads} * c_.head_dim; }
  float Scale() const { return 1.0f / std::sqrt(static_cast<float>(c_.head_dim)); }

  AttentionChunk ChunkOf(int64_t begin, int64_t end, int64_t row) const {
    return {.row_begin = row,
            .row_count = end - begin,
            .begin = begin,
            .pages = pages_.data(),
            .tiles = tiles_.data(),
            .summary = memory::SummaryKind::kBounds};
  }

  // Positions [begin, end), each row key | value.
  void Append(int64_t begin, int64_t end) {
    const int64_t width = int64_t{c_.kv_heads} * c_.head_dim;
    std::vector<float> rows;
    for (int64_t t = begin; t < end; ++t) {
      rows.insert(rows.end(), keys_.begin() + t * width, keys_.begin() + (t + 1) * width);
      rows.insert(rows.end(), values_.begin() + t * width, values_.begin() + (t + 1) * width);
    }
    const float* both = run_.Upload(rows);
    const AttentionChunk chunk = ChunkOf(begin, end, 0);
    run_->AppendKv({.k = both,
                    .v = both + width,
                    .kv_stride = 2 * width,
                    .layout = layout_,
                    .chunks = {&chunk, 1}});
  }

  const AttentionCase& c_;
  OpRun& run_;
  memory::PageLayout layout_;
  std::vector<float> keys_, values_, queries_;
  std::vector<void*> pages_, tiles_;
  float* q_;
  int32_t* blocks_ = nullptr;
};

class AttentionCases : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  OpRun tested_{GetParam().create()};
  OpRun oracle_{CreateReferenceBackend()};
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(AttentionCases, AppendRetrieveAttend) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(c.name);
    Scene scene(c, false, tested_), oracle(c, false, oracle_), absolute(c, true, oracle_);
    EXPECT_EQ(scene.Pages(), oracle.Pages());
    if (c.span > 0) {
      RetrievalStats stats;
      const std::vector<int32_t> blocks = scene.Retrieve(&stats);
      EXPECT_EQ(stats.choices, c.kv_heads);
      EXPECT_EQ(stats.proven, c.kv_heads);
      ASSERT_EQ(blocks, oracle.Retrieve(nullptr));
      absolute.Retrieve(nullptr);
    }
    // Softmax turns an error of the scores into twice as much of each weight; the
    // sums over tokens have a rounding each, and each block rescales.
    const double sums = 2.0 * static_cast<double>(std::min(c.context + c.rows, int64_t{1024})) + 32;
    ExpectWithin(scene.Attend(), oracle.Attend(),
                 Relative(absolute.Attend(), 2 * scene.ScoreError() + sums * kEps));
  }
}

// Positions from 2^20 on are past the CPU's table of cosines.
TEST_P(AttentionCases, FarPositionsTurnAlike) {
  const int64_t far = (int64_t{1} << 20) - 16;
  const memory::PageLayout layout{.block_size = 32, .kv_heads = 2, .head_dim = 64};
  const auto attend = [&](OpRun& run) {
    std::vector<void*> pages(far / 32 + 2);
    for (int64_t b = far / 32; b < static_cast<int64_t>(pages.size()); ++b) {
      pages[b] = run.Upload(Random(layout.page_bytes() / 4, 7 + b));
    }
    const AttentionChunk chunk{.row_count = 1, .begin = far + 40, .pages = pages.data()};
    const SpanAttentionRequest request{.chunk = 0, .window_begin = far / 32 * 32, .remap = false};
    void* out = run.Zeros(6 * 64);
    run->SpanAttention({.q = run.Upload(Random(6 * 64, 1)),
                        .q_stride = 6 * 64,
                        .q_heads = 6,
                        .layout = layout,
                        .rotary_dim = 32,
                        .scale = 0.125f,
                        .chunks = {&chunk, 1},
                        .requests = {&request, 1},
                        .out = out});
    return run.Read(out, 6 * 64);
  };
  const std::vector<float> want = attend(oracle_);
  // As above: 64 tokens, |q||k| about 64, values below 4.
  const double score_error = 70 * kEps * 0.125 * 100;
  ExpectWithin(attend(tested_), want,
               std::vector<double>(want.size(), 4 * (2 * score_error + 160 * kEps)));
}

}  // namespace
}  // namespace eidetic
