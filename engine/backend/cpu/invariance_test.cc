// Bitwise: a row's result depends on that row alone. Every operation runs once
// over a batch and once for each of its parts alone, with 1, 2 and 3 threads.
#include "engine/backend/cpu/invariance.h"

#include <algorithm>
#include <limits>

#include "engine/backend/cpu/cpu_backend.h"

namespace eidetic {
namespace {

TEST(InvarianceTest, MatMul) {
  const int64_t rows = 29, inputs = 200, outputs = 70;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const StoredTensor w(Random(outputs * inputs, 1), {outputs, inputs}, dtype);
    const std::vector<float> x = Random(rows * inputs, 2);
    ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
      float* out = run.Floats(std::vector<float>((last - first) * outputs, 0.5f));
      run->MatMul({.x = run.Floats(Slice(x, first * inputs, last * inputs)),
                   .w = run.Load(w),
                   .bias = run.Floats(Random(outputs, 3)),
                   .out = out,
                   .out_number = Number::kFloat32,
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
    run->MatMul(
        {.x = run.Floats(Slice(x, 0, rows * inputs)), .w = run.Load(w), .out = out, .rows = rows});
    if (alone.empty()) alone = run.ReadFloats(out, outputs);
    EXPECT_TRUE(SameBits(run.ReadFloats(out, outputs), alone)) << rows << " rows";
  }
}

TEST(InvarianceTest, RowWiseOperations) {
  const int64_t rows = 37, dim = 403;
  const std::vector<float> x = Random(rows * dim, 1), gate = Random(rows * dim, 2);
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    void* out = run.Zeros((last - first) * dim);
    run->RmsNorm({.x = run.Floats(Slice(x, first * dim, last * dim)),
                  .gate = run.Floats(Slice(gate, first * dim, last * dim)),
                  .weight = run.Floats(Random(dim, 3)),
                  .out = out,
                  .rows = last - first,
                  .dim = dim,
                  .x_stride = dim,
                  .gate_stride = dim});
    return ReadRows(run, out, last - first, dim);
  });
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    void* out = run.Zeros((last - first) * dim);
    run->SwiGlu({.gate = run.Floats(Slice(gate, first * dim, last * dim)),
                 .up = run.Floats(Slice(x, first * dim, last * dim)),
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
    auto* out = static_cast<float*>(run.Zeros((last - first) * dim));
    run->Embed({.ids = ids, .table = run.Load(table), .multiplier = 0.7f, .out = out});
    return ReadRows(run, out, last - first, dim);
  });
}

// Sequences of these lengths are the parts of a batch.
const int64_t kLengths[] = {3, 1, 20, 2, 7};

// A part is one sequence's outputs, then its final state.
Parts RunSequences(
    OpRun& run, int64_t first, int64_t last, int64_t width, int64_t out_width, int64_t state_size,
    const std::function<void(const float* x, void* out, std::span<const StateSpan>)>& operation) {
  std::vector<StateSpan> spans;
  std::vector<float> x;
  int64_t rows = 0;
  for (int64_t s = first; s < last; ++s) {
    spans.push_back({.row_begin = rows,
                     .row_count = kLengths[s],
                     .state_in = run.Floats(Random(state_size, 50 + s)),
                     .state_out = run.Zeros(state_size)});
    for (float value : Random(kLengths[s] * width, 10 + s)) x.push_back(value);
    rows += kLengths[s];
  }
  void* out = run.Zeros(rows * out_width);
  operation(run.Floats(x), out, spans);
  const std::vector<float> outputs = run.ReadFloats(out, rows * out_width);
  Parts parts;
  for (const StateSpan& span : spans) {
    parts.push_back(
        Slice(outputs, span.row_begin * out_width, (span.row_begin + span.row_count) * out_width));
    for (float value : run.ReadFloats(span.state_out, state_size)) parts.back().push_back(value);
  }
  return parts;
}

TEST(InvarianceTest, CausalConv1d) {
  const int64_t channels = 150, width = 4;
  ExpectInvariant(5, [&](OpRun& run, int64_t first, int64_t last) {
    return RunSequences(run, first, last, channels, channels, (width - 1) * channels,
                        [&](const float* x, void* out, std::span<const StateSpan> spans) {
                          run->CausalConv1d({.x = x,
                                             .weight = run.Floats(Random(channels * width, 1)),
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
                          .a_log = run.Floats(Random(heads, 1)),
                          .dt_bias = run.Floats(Random(heads, 2)),
                          .d = run.Floats(Random(heads, 3)),
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
      run->CausalConv1d({.x = run.Floats(Slice(x, t * channels, (t + rows) * channels)),
                         .weight = run.Floats(Random(channels * 4, 2)),
                         .out = out,
                         .channels = channels,
                         .width = 4,
                         .x_stride = channels,
                         .sequences = {&span, 1}});
      for (float value : run.ReadFloats(out, rows * channels)) result.push_back(value);
    }
    return result;
  };
  EXPECT_TRUE(SameBits(convolve(1), convolve(length)));
  EXPECT_TRUE(SameBits(convolve(7), convolve(length)));
}

TEST(InvarianceTest, SampleAndScore) {
  const int64_t vocab = 1000;
  const SamplingParams kParams[] = {{.seed = 1, .top_logprobs = 2},
                                    {.temperature = 0},
                                    {.top_k = 20, .top_p = 0.9f, .seed = 2},
                                    {.temperature = 0.5f, .min_p = 0.1f, .seed = 3}};
  const int64_t rows = 9;
  const std::vector<float> logits = Random(rows * vocab, 1, 3.0f);
  ExpectInvariant(rows, [&](OpRun& run, int64_t first, int64_t last) {
    const float* mine = run.Floats(Slice(logits, first * vocab, last * vocab));
    std::vector<SampleRow> samples;
    std::vector<memory::TokenId> targets;
    for (int64_t r = first; r < last; ++r) {
      samples.push_back({&kParams[r % 4], {}, r});
      targets.push_back(static_cast<memory::TokenId>(r * 100));
    }
    std::vector<SampledToken> drawn(samples.size()), scored(samples.size());
    run->SampleTokens({.logits = mine, .vocab = vocab, .rows = samples, .out = drawn});
    run->ScoreTokens({.logits = mine, .vocab = vocab, .targets = targets, .out = scored});
    Parts parts;
    for (size_t i = 0; i < drawn.size(); ++i) {
      parts.push_back({static_cast<float>(drawn[i].token), drawn[i].logprob, scored[i].logprob});
      for (const TokenLogprob& other : drawn[i].top) parts.back().push_back(other.logprob);
    }
    return parts;
  });
}

}  // namespace
}  // namespace eidetic
