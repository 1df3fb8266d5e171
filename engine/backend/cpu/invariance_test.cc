// Bitwise: a row's result depends on that row alone. Every operation runs once
// over a batch and once for each of its parts alone, with 1, 2 and 3 threads.
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/cpu/cpu_backend.h"

namespace eidetic {
namespace {

// What an operation computes for parts [first, last) of a fixed batch, part by part.
using Parts = std::vector<std::vector<float>>;
using Operation = std::function<Parts(OpRun& run, int64_t first, int64_t last)>;

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void ExpectInvariant(int64_t parts, const Operation& operation) {
  const auto run = [&](int32_t threads, int64_t first, int64_t last) {
    OpRun fresh(CreateCpuBackend({.threads = threads}));
    return operation(fresh, first, last);
  };
  const Parts whole = run(1, 0, parts);
  ASSERT_EQ(whole.size(), static_cast<size_t>(parts));
  for (const int32_t threads : {2, 3}) {
    const Parts again = run(threads, 0, parts);
    for (int64_t p = 0; p < parts; ++p) {
      EXPECT_TRUE(SameBits(again[p], whole[p])) << threads << " threads, part " << p;
    }
  }
  for (int64_t p = 0; p < parts; ++p) {
    EXPECT_TRUE(SameBits(run(2, p, p + 1)[0], whole[p])) << "part " << p << " alone";
  }
  const Parts tail = run(2, parts / 3, parts);  // another place in another batch
  for (size_t i = 0; i < tail.size(); ++i) {
    EXPECT_TRUE(SameBits(tail[i], whole[parts / 3 + i])) << "part " << i << " of the tail";
  }
}

std::vector<float> Slice(const std::vector<float>& values, int64_t begin, int64_t end) {
  return {values.begin() + begin, values.begin() + end};
}

Parts ReadRows(OpRun& run, const void* from, int64_t rows, int64_t width) {
  const std::vector<float> all = run.Read(from, rows * width);
  Parts parts;
  for (int64_t r = 0; r < rows; ++r) parts.push_back(Slice(all, r * width, (r + 1) * width));
  return parts;
}

TEST(InvarianceTest, MatMul) {
  const int64_t rows = 29, inputs = 200, outputs = 70;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const StoredTensor w(Random(outputs * inputs, 1), {outputs, inputs}, dtype);
    const std::vector<float> x = Random(rows * inputs, 2);
    ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
      float* out = run.Upload(std::vector<float>((last - first) * outputs, 0.5f));
      run->MatMul({.x = run.Upload(Slice(x, first * inputs, last * inputs)),
                   .w = run.Load(w),
                   .bias = run.Upload(Random(outputs, 3)),
                   .out = out,
                   .rows = last - first,
                   .multiplier = 0.3f,
                   .accumulate = true});
      return ReadRows(run, out, last - first, outputs);
    });
  }
}

// Rows of a tile, of a row block and beyond: the first row is the same in all.
TEST(InvarianceTest, MatMulOfEveryTileHeight) {
  const int64_t inputs = 96, outputs = 33;
  const StoredTensor w(Random(outputs * inputs, 1), {outputs, inputs}, DType::kBF16);
  const std::vector<float> x = Random(200 * inputs, 2);
  std::vector<float> alone;
  for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 95, 96, 97, 200}) {
    OpRun run(CreateCpuBackend({.threads = 2}));
    void* out = run.Zeros(rows * outputs);
    run->MatMul({.x = run.Upload(Slice(x, 0, rows * inputs)),
                 .w = run.Load(w),
                 .out = out,
                 .rows = rows});
    if (alone.empty()) alone = run.Read(out, outputs);
    EXPECT_TRUE(SameBits(run.Read(out, outputs), alone)) << rows << " rows";
  }
}

TEST(InvarianceTest, RowWiseOperations) {
  const int64_t rows = 37, dim = 403;
  const std::vector<float> x = Random(rows * dim, 1), gate = Random(rows * dim, 2);
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    void* out = run.Zeros((last - first) * dim);
    run->RmsNorm({.x = run.Upload(Slice(x, first * dim, last * dim)),
                  .gate = run.Upload(Slice(gate, first * dim, last * dim)),
                  .weight = run.Upload(Random(dim, 3)),
                  .out = out,
                  .rows = last - first,
                  .dim = dim,
                  .x_stride = dim,
                  .gate_stride = dim});
    return ReadRows(run, out, last - first, dim);
  });
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    void* out = run.Zeros((last - first) * dim);
    run->SwiGlu({.gate = run.Upload(Slice(gate, first * dim, last * dim)),
                 .up = run.Upload(Slice(x, first * dim, last * dim)),
                 .rows = last - first,
                 .dim = dim,
                 .gate_stride = dim,
                 .up_stride = dim,
                 .out = out});
    return ReadRows(run, out, last - first, dim);
  });
  const StoredTensor table(Random(50 * dim, 4), {50, dim}, DType::kBF16);
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    std::vector<memory::TokenId> ids;
    for (int64_t r = first; r < last; ++r) ids.push_back(static_cast<int32_t>(r * 7 % 50));
    void* out = run.Zeros((last - first) * dim);
    run->Embed({.ids = ids, .table = run.Load(table), .multiplier = 0.7f, .out = out});
    return ReadRows(run, out, last - first, dim);
  });
}

// Sequences of these lengths are the parts of a batch.
const int64_t kLengths[] = {3, 1, 20, 2, 7};

// A part is one sequence's outputs, then its final state.
Parts RunSequences(OpRun& run, int64_t first, int64_t last, int64_t width, int64_t out_width,
                   int64_t state_size,
                   const std::function<void(const float* x, void* out,
                                            std::span<const StateSpan>)>& operation) {
  std::vector<StateSpan> spans;
  std::vector<float> x;
  int64_t rows = 0;
  for (int64_t s = first; s < last; ++s) {
    spans.push_back({.row_begin = rows,
                     .row_count = kLengths[s],
                     .state_in = run.Upload(Random(state_size, 50 + s)),
                     .state_out = run.Zeros(state_size)});
    for (float value : Random(kLengths[s] * width, 10 + s)) x.push_back(value);
    rows += kLengths[s];
  }
  void* out = run.Zeros(rows * out_width);
  operation(run.Upload(x), out, spans);
  const std::vector<float> outputs = run.Read(out, rows * out_width);
  Parts parts;
  for (const StateSpan& span : spans) {
    parts.push_back(Slice(outputs, span.row_begin * out_width,
                          (span.row_begin + span.row_count) * out_width));
    for (float value : run.Read(span.state_out, state_size)) parts.back().push_back(value);
  }
  return parts;
}

TEST(InvarianceTest, CausalConv1d) {
  const int64_t channels = 150, width = 4;
  ExpectInvariant(5, [&](OpRun& run, int64_t first, int64_t last) {
    return RunSequences(run, first, last, channels, channels, (width - 1) * channels,
                        [&](const float* x, void* out, std::span<const StateSpan> spans) {
                          run->CausalConv1d({.x = x,
                                             .weight = run.Upload(Random(channels * width, 1)),
                                             .out = out,
                                             .channels = channels,
                                             .width = width,
                                             .x_stride = channels,
                                             .sequences = spans});
                        });
  });
}

TEST(InvarianceTest, SelectiveScan) {
  const int32_t heads = 3, head_dim = 20, d_state = 40;
  const int64_t inner = heads * head_dim, width = inner + 2 * d_state;
  ExpectInvariant(5, [&](OpRun& run, int64_t first, int64_t last) {
    const auto scan = [&](const float* x, void* out, std::span<const StateSpan> spans) {
      run->SelectiveScan({.xbc = x,
                          .dt = x,  // any numbers do
                          .dt_stride = width,
                          .a_log = run.Upload(Random(heads, 1)),
                          .dt_bias = run.Upload(Random(heads, 2)),
                          .d = run.Upload(Random(heads, 3)),
                          .dt_max = std::numeric_limits<float>::infinity(),
                          .heads = heads,
                          .head_dim = head_dim,
                          .groups = 1,
                          .d_state = d_state,
                          .out = out,
                          .sequences = spans});
    };
    return RunSequences(run, first, last, width, inner, inner * d_state, scan);
  });
}

// One token at a time gives what the whole sequence gives: a state is all there is.
TEST(InvarianceTest, ScanAndConvolutionAtAnyCut) {
  const int64_t channels = 70, length = 20;
  const std::vector<float> x = Random(length * channels, 1);
  const auto convolve = [&](int64_t step) {
    OpRun run(CreateCpuBackend({.threads = 2}));
    void* state = run.Zeros(3 * channels);
    std::vector<float> result;
    for (int64_t t = 0; t < length; t += step) {
      const int64_t rows = std::min(step, length - t);
      const StateSpan span{.row_count = rows, .state_in = state, .state_out = state};
      void* out = run.Zeros(rows * channels);
      run->CausalConv1d({.x = run.Upload(Slice(x, t * channels, (t + rows) * channels)),
                         .weight = run.Upload(Random(channels * 4, 2)),
                         .out = out,
                         .channels = channels,
                         .width = 4,
                         .x_stride = channels,
                         .sequences = {&span, 1}});
      for (float value : run.Read(out, rows * channels)) result.push_back(value);
    }
    return result;
  };
  EXPECT_TRUE(SameBits(convolve(1), convolve(length)));
  EXPECT_TRUE(SameBits(convolve(7), convolve(length)));
}

// Four sequences in one batch of attention, from the first token of all to a
// chunk of several tiles; each with its own pages.
struct AttentionPart {
  int64_t context, rows;
};
const AttentionPart kAttentionParts[] = {{0, 1}, {500, 1}, {640, 70}, {333, 40}};

Parts RunAttention(OpRun& run, int64_t first, int64_t last) {
  const int32_t q_heads = 6, head_dim = 24, span = 3;
  const memory::PageLayout layout{.block_size = 32, .kv_heads = 2, .head_dim = head_dim};
  const int64_t q_width = q_heads * head_dim, kv_width = 2 * head_dim;
  std::vector<std::vector<void*>> pages(last - first), tiles(last - first);
  std::vector<AttentionChunk> history, chunks;
  std::vector<RetrievalRequest> retrievals;
  std::vector<SpanAttentionRequest> requests;
  std::vector<float> q, k, v, old_k, old_v;
  const auto extend = [](std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (int64_t p = first; p < last; ++p) {
    const auto [context, rows] = kAttentionParts[p];
    std::vector<void*>& mine = pages[p - first];
    for (int64_t b = 0; b * 32 < context + rows; ++b) mine.push_back(run.Zeros(layout.page_bytes() / 4));
    for (size_t b = 0; b < mine.size(); b += memory::kTileBlocks) {
      tiles[p - first].push_back(run.Zeros(layout.tile_bytes(2) / 4));
    }
    AttentionChunk chunk{.row_count = rows,
                         .begin = context,
                         .pages = mine.data(),
                         .tiles = tiles[p - first].data(),
                         .summary = memory::SummaryKind::kBounds};
    AttentionChunk before = chunk;
    chunk.row_begin = static_cast<int64_t>(q.size()) / q_width;
    before.row_begin = static_cast<int64_t>(old_k.size()) / kv_width;
    before.row_count = context;
    before.begin = 0;
    extend(q, Random(rows * q_width, 100 + p));
    extend(k, Random(rows * kv_width, 200 + p));
    extend(v, Random(rows * kv_width, 300 + p));
    extend(old_k, Random(context * kv_width, 400 + p));
    extend(old_v, Random(context * kv_width, 500 + p));
    if (context > 0) history.push_back(before);
    const int32_t window_block = static_cast<int32_t>(std::max<int64_t>(0, context - 128) / 32);
    const int32_t index = static_cast<int32_t>(chunks.size());
    SpanAttentionRequest request{.chunk = index, .window_begin = int64_t{window_block} * 32};
    if (window_block > span) {
      request.sink_blocks = 1;
      request.span_row = static_cast<int32_t>(retrievals.size());
      request.span_count = span;
      request.mass = static_cast<float*>(run.Zeros(2 * span));
      retrievals.push_back({.chunk = index, .first = 1, .last = window_block, .span_blocks = span,
                            .first_candidates = 2, .candidate_budget = 100});
    }
    chunks.push_back(chunk);
    requests.push_back(request);
  }
  const auto append = [&](const std::vector<float>& keys, const std::vector<float>& values,
                          std::span<const AttentionChunk> which) {
    if (which.empty()) return;
    run->AppendKv({.k = run.Upload(keys),
                   .v = run.Upload(values),
                   .kv_stride = kv_width,
                   .layout = layout,
                   .chunks = which});
  };
  append(old_k, old_v, history);
  append(k, v, chunks);
  auto* blocks = static_cast<int32_t*>(run.Zeros(static_cast<int64_t>(retrievals.size()) * 2 * span + 1));
  const float* queries = run.Upload(q);
  run->RetrieveSpan({.q = queries, .q_stride = q_width, .q_heads = q_heads, .layout = layout,
                     .chunks = chunks, .requests = retrievals, .blocks = blocks, .max_span = span});
  const int64_t rows = static_cast<int64_t>(q.size()) / q_width;
  void* out = run.Zeros(rows * q_width);
  run->SpanAttention({.q = queries, .q_stride = q_width, .q_heads = q_heads, .layout = layout,
                      .rotary_dim = 12, .scale = 0.2f, .chunks = chunks, .requests = requests,
                      .blocks = blocks, .max_span = span, .out = out});
  const std::vector<float> outputs = run.Read(out, rows * q_width);
  Parts parts;
  for (size_t i = 0; i < chunks.size(); ++i) {
    const int64_t begin = chunks[i].row_begin * q_width;
    parts.push_back(Slice(outputs, begin, begin + chunks[i].row_count * q_width));
    if (requests[i].mass != nullptr) extend(parts.back(), run.Read(requests[i].mass, 2 * span));
    for (void* page : pages[i]) extend(parts.back(), run.Read(page, layout.page_bytes() / 4));
    for (void* tile : tiles[i]) extend(parts.back(), run.Read(tile, layout.tile_bytes(2) / 4));
  }
  return parts;
}

TEST(InvarianceTest, AppendRetrieveAttend) { ExpectInvariant(4, RunAttention); }

}  // namespace
}  // namespace eidetic
