// What adapters change of operations: deltas of low rank against the oracle; own weights of some
// rows against the operation with those weights, bit by bit.
#include <algorithm>
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/state_slots.h"

namespace eidetic {
namespace {

using AdapterCases = BackendCases;
INSTANTIATE_TEST_SUITE_P(Backends, AdapterCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

struct Rows {
  int64_t begin = 0, count = 0;
  int32_t rank = 16;
};

struct LowRankCase {
  const char* name;
  std::vector<Rows> runs;
  int64_t rows = 5, cols = 384, outputs = 384;
  int64_t padding = 0;  // of the output's rows
  Number out_number = Number::kActivation;
};

std::vector<Rows> Alternating(int64_t rows, int64_t count) {
  std::vector<Rows> runs;
  for (int64_t begin = 0; begin < rows; begin += count) {
    runs.push_back({begin, std::min(count, rows - begin)});
  }
  return runs;
}

const LowRankCase kLowRankCases[] = {
    {.name = "demo", .runs = {{0, 5}}},
    {.name = "demo, a part of qkv", .runs = {{0, 5}}, .outputs = 128, .padding = 512},
    {.name = "one row", .runs = {{0, 1}}, .rows = 1},
    {.name = "between rows of the base", .runs = {{2, 1}, {4, 3}, {9, 1}}, .rows = 11},
    {.name = "into the residual", .runs = {{1, 3}}, .out_number = Number::kFloat32},
    {.name = "bamba-9b, 16 adapters of 64 rows",
     .runs = Alternating(64, 4),
     .rows = 64,
     .cols = 4096,
     .outputs = 4096},
    {.name = "each row its own", .runs = Alternating(37, 1), .rows = 37, .cols = 64, .outputs = 96},
    {.name = "more segments than lanes", .runs = Alternating(70, 1), .rows = 70, .cols = 32},
    {.name = "a prompt", .runs = {{3, 200}, {210, 90}}, .rows = 301, .cols = 128, .outputs = 300},
    {.name = "ranks 1, 3, 64 and 256",
     .runs = {{0, 2, 1}, {2, 1, 3}, {4, 6, 64}, {10, 2, 256}},
     .rows = 13,
     .cols = 72,
     .outputs = 40},
    {.name = "odd",
     .runs = {{0, 2, 5}, {3, 4, 2}},
     .rows = 7,
     .cols = 17,
     .outputs = 19,
     .padding = 3},
    {.name = "one channel", .runs = {{0, 2, 1}}, .rows = 2, .cols = 1, .outputs = 1},
};

struct LowRankInputs {
  std::vector<float> x, out;
};

// With `absolute` the sum of magnitudes, which errors are proportional to.
std::vector<float> RunLowRank(const LowRankCase& c, const LowRankInputs& in, bool absolute,
                              std::vector<LowRankSegment>* segments, OpRun& run) {
  const auto values = [&](const std::vector<float>& v) { return absolute ? Abs(v) : v; };
  segments->clear();
  for (size_t i = 0; i < c.runs.size(); ++i) {
    const Rows& r = c.runs[i];
    segments->push_back({.row_begin = r.begin,
                         .row_count = r.count,
                         .a = run.Floats(values(Random(r.rank * c.cols, 10 + 2 * i))),
                         .b = run.Floats(values(Random(r.rank * c.outputs, 11 + 2 * i))),
                         .rank = r.rank,
                         .scale = absolute || i % 2 == 0 ? 0.25f : -0.25f});
  }
  const int64_t stride = c.outputs + c.padding;
  void* out = run.Numbers(c.out_number, values(in.out));
  run->LowRank({.x = run.Activations(values(in.x)),
                .cols = c.cols,
                .segments = *segments,
                .out = out,
                .out_number = c.out_number,
                .outputs = c.outputs,
                .out_stride = stride});
  return run.ReadNumbers(c.out_number, out, c.rows * stride);
}

TEST_P(AdapterCases, LowRank) {
  for (const LowRankCase& c : kLowRankCases) {
    SCOPED_TRACE(c.name);
    LowRankInputs in;
    std::vector<LowRankSegment> segments, other;
    EachRound(
        [&](uint64_t round) {
          in.x = Stored(Random(c.rows * c.cols, 1000 * round + 1));
          in.out = Random(c.rows * (c.outputs + c.padding), 1000 * round + 2);
          if (c.out_number == Number::kActivation) in.out = Stored(in.out);
          return RunLowRank(c, in, false, &segments, tested_);
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<float> want = RunLowRank(c, in, false, &other, oracle_);
          const std::vector<float> magnitudes = RunLowRank(c, in, true, &other, oracle_);
          const double factor = (static_cast<double>(c.cols) + 256 + 4) * kEps;
          const double rounding = c.out_number == Number::kActivation ? Rounding() : 0;
          ExpectWithin(c.name, got, want, AndRounded(Relative(magnitudes, factor), want, rounding));
          // Rows of the base, and what stands behind the outputs, are as they were.
          std::vector<bool> touched(c.rows);
          for (const Rows& r : c.runs) {
            std::fill_n(touched.begin() + r.begin, r.count, true);
          }
          for (size_t i = 0; i < got.size(); ++i) {
            const int64_t row = i / (c.outputs + c.padding), column = i % (c.outputs + c.padding);
            if (touched[row] && column < c.outputs) continue;
            EXPECT_EQ(got[i], in.out[i]) << i;
          }
        });
    if (HasFatalFailure()) return;
  }
}

TEST_P(AdapterCases, RmsNormTakesARowsOwnWeight) {
  for (const int64_t dim : {384, 4096, 17}) {
    SCOPED_TRACE(dim);
    constexpr int64_t kRows = 75;
    const std::vector<float> x = Stored(Random(kRows * dim, 1));
    std::vector<RowWeights> own;
    std::vector<float> mixed;
    // 0: as the base; 1 and 2: with that adapter's weight for all rows; -1: each its own.
    const auto norm = [&](int which) {
      tested_.Again();
      void* rows = tested_.Activations(x);
      void* out = tested_.ActivationZeros(kRows * dim);
      const float* weights[3];
      for (int i = 0; i < 3; ++i) weights[i] = tested_.Floats(Random(dim, 3 + i));
      own.clear();
      if (which < 0) own = {{0, 2, weights[1]}, {2, 1, weights[2]}, {40, 33, weights[1]}};
      tested_->RmsNorm({.x = rows,
                        .weight = weights[std::max(which, 0)],
                        .out = out,
                        .rows = kRows,
                        .dim = dim,
                        .x_stride = dim,
                        .own = own});
      return tested_.ReadActivations(out, kRows * dim);
    };
    mixed = norm(-1);
    const std::vector<float> alone[] = {norm(0), norm(1), norm(2)};
    for (int64_t i = 0; i < kRows * dim; ++i) {
      const int64_t row = i / dim;
      const int which = row < 2 || (row >= 40 && row < 73) ? 1 : row == 2 ? 2 : 0;
      ASSERT_EQ(mixed[i], alone[which][i]) << "row " << row;
    }
    tested_.Reset();
  }
}

struct OwnConvCase {
  const char* name;
  std::vector<int64_t> lengths;
  int32_t heads = 4, head_dim = 64, d_state = 128;
  int64_t width = 4;
  bool in_place = false;
};

const OwnConvCase kOwnConvCases[] = {
    {.name = "decode", .lengths = {1, 1, 1, 1, 1, 1, 1}},
    {.name = "decode in place", .lengths = {1, 1, 1, 1}, .in_place = true},
    {.name = "decode beside prefill", .lengths = {1, 70, 1, 5, 33, 1}},
    {.name = "odd", .lengths = {1, 3, 40}, .heads = 3, .head_dim = 5, .d_state = 19, .width = 3},
};

// Which of three weights sequence `i` has: none is the base's alone.
int WeightOf(size_t i) { return static_cast<int>(i % 3); }

// Outputs of the convolution and the recurrence in one. `which` < 0: each sequence with its own.
std::vector<float> RunOwnConv(const OwnConvCase& c, int which, std::vector<ConvWeights>* own,
                              OpRun& run) {
  run.Again();
  const int64_t inner = int64_t{c.heads} * c.head_dim, channels = inner + 2 * c.d_state;
  const int64_t conv_size = (c.width - 1) * channels, scan_size = inner * c.d_state;
  StateSlots slots(c.lengths, 0, conv_size + scan_size, scan_size, c.in_place, 0, run);
  for (size_t i = 0; i < c.lengths.size(); ++i) {
    slots.Set(i, Random(conv_size + scan_size, 100 + i));
  }
  const int64_t stride = channels + c.heads;
  std::vector<float> input = Random(slots.rows() * stride, 1);
  if (run.bf16()) input = RoundedToBf16(input);
  void* x = run.Activations(input);
  void* convolved = run.ActivationZeros(slots.rows() * channels);
  void* out = run.ActivationZeros(slots.rows() * inner);
  ConvWeights weights[3];
  for (int i = 0; i < 3; ++i) {
    weights[i] = {run.Floats(Random(channels * c.width, 20 + i)),
                  run.Floats(Random(channels, 30 + i))};
  }
  own->clear();
  for (size_t i = 0; which < 0 && i < c.lengths.size(); ++i) own->push_back(weights[WeightOf(i)]);
  const ConvWeights& base = weights[std::max(which, 0)];
  run->ConvScan({.x = x,
                 .weight = base.weight,
                 .bias = base.bias,
                 .out = convolved,
                 .channels = channels,
                 .width = c.width,
                 .x_stride = stride,
                 .sequences = slots.spans(),
                 .own = *own},
                {.xbc = convolved,
                 .dt = run.After(x, channels),
                 .dt_stride = stride,
                 .a_log = run.Floats(Random(c.heads, 4)),
                 .dt_bias = run.Floats(Random(c.heads, 5)),
                 .d = run.Floats(Random(c.heads, 6)),
                 .dt_max = std::numeric_limits<float>::infinity(),
                 .heads = c.heads,
                 .head_dim = c.head_dim,
                 .groups = 1,
                 .d_state = c.d_state,
                 .out = out,
                 .sequences = slots.spans(),
                 .state_offset = static_cast<size_t>(conv_size) * sizeof(float)});
  return run.ReadActivations(out, slots.rows() * inner);
}

TEST_P(AdapterCases, AConvolutionTakesASequencesOwnWeights) {
  for (const OwnConvCase& c : kOwnConvCases) {
    SCOPED_TRACE(c.name);
    std::vector<ConvWeights> own;
    const std::vector<float> mixed = RunOwnConv(c, -1, &own, tested_);
    std::vector<std::vector<float>> alone;
    for (int which = 0; which < 3; ++which) alone.push_back(RunOwnConv(c, which, &own, tested_));
    EXPECT_NE(alone[0], alone[1]);
    const int64_t inner = int64_t{c.heads} * c.head_dim;
    int64_t row = 0;
    for (size_t i = 0; i < c.lengths.size(); ++i) {
      const auto begin = mixed.begin() + row * inner, end = begin + c.lengths[i] * inner;
      EXPECT_TRUE(std::equal(begin, end, alone[WeightOf(i)].begin() + row * inner)) << i;
      row += c.lengths[i];
    }
    tested_.Reset();
  }
}

}  // namespace
}  // namespace eidetic
