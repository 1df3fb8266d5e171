// Convolution and recurrence, with their states, against the oracle.
#include <algorithm>
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/reference_backend.h"

namespace eidetic {
namespace {

class ScanCases : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  OpRun tested_{GetParam().create()};
  OpRun oracle_{CreateReferenceBackend()};
};
INSTANTIATE_TEST_SUITE_P(Backends, ScanCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

struct ConvCase {
  const char* name;
  std::vector<int64_t> lengths = {2, 3, 4};
  int64_t channels = 896, width = 4;
  bool bias = true, silu = true;
  bool in_place = false;  // state_out is state_in
  int64_t padding = 0;
};

const ConvCase kConvCases[] = {
    {.name = "demo"},
    {.name = "demo inside the projection, in place", .in_place = true, .padding = 780},
    {.name = "mamba2attn-2.7b qkv", .channels = 11520, .bias = false, .silu = false},
    {.name = "bamba-9b", .channels = 8448},
    {.name = "shorter than the kernel", .lengths = {1, 2}, .in_place = true},
    {.name = "decode", .lengths = {1, 1, 1, 1}},
    {.name = "chunk", .lengths = {512}, .channels = 70},
    {.name = "width 1: no state", .width = 1},
    {.name = "width 2", .width = 2},
    {.name = "width 3", .lengths = {1}, .channels = 65, .width = 3},
    {.name = "widest", .lengths = {5, 70}, .channels = 17, .width = 64},
    {.name = "one channel", .channels = 1},
};

// Outputs, then final states.
std::vector<float> RunConv(const ConvCase& c, bool absolute, OpRun& run) {
  const auto input = [&](int64_t count, uint64_t seed) {
    return run.Upload(absolute ? Abs(Random(count, seed)) : Random(count, seed));
  };
  const int64_t state_size = (c.width - 1) * c.channels;
  std::vector<StateSpan> sequences;
  int64_t rows = 0;
  for (int64_t length : c.lengths) {
    StateSpan span{.row_begin = rows, .row_count = length};
    if (state_size > 0) {
      float* state = input(state_size, 100 + rows);
      span.state_in = state;
      span.state_out = c.in_place ? state : run.Zeros(state_size);
    }
    sequences.push_back(span);
    rows += length;
  }
  const int64_t stride = c.channels + c.padding;
  void* out = run.Zeros(rows * c.channels);
  run->CausalConv1d({.x = input(rows * stride, 1),
                     .weight = input(c.channels * c.width, 2),
                     .bias = c.bias ? input(c.channels, 3) : nullptr,
                     .out = out,
                     .channels = c.channels,
                     .width = c.width,
                     .x_stride = stride,
                     .silu = c.silu && !absolute,
                     .sequences = sequences});
  std::vector<float> result = run.Read(out, rows * c.channels);
  for (const StateSpan& span : sequences) {
    for (float value : run.Read(span.state_out, state_size)) result.push_back(value);
  }
  return result;
}

TEST_P(ScanCases, CausalConv1d) {
  for (const ConvCase& c : kConvCases) {
    SCOPED_TRACE(c.name);
    // The chain's roundings, passed on by SiLU (slope below 1.1), and SiLU's own.
    ExpectWithin(RunConv(c, false, tested_), RunConv(c, false, oracle_),
                 Relative(RunConv(c, true, oracle_), (1.1 * (c.width + 1) + 12) * kEps));
  }
}

struct ScanCase {
  const char* name;
  std::vector<int64_t> lengths = {2, 3, 4};
  int32_t heads = 12, head_dim = 64, groups = 1, d_state = 64;
  float dt_min = 0, dt_max = std::numeric_limits<float>::infinity();
  bool in_place = false;
  float dt_scale = 1.0f;
};

const ScanCase kScanCases[] = {
    {.name = "demo"},
    {.name = "demo chunk, in place", .lengths = {64}, .in_place = true},
    {.name = "mamba2attn-2.7b", .lengths = {1, 2}, .heads = 80, .d_state = 128},
    {.name = "bamba-9b", .lengths = {2}, .heads = 128, .d_state = 128},
    {.name = "decode, in place", .lengths = {1, 1, 1}, .in_place = true},
    {.name = "two groups", .groups = 2},
    {.name = "a group a head", .groups = 12},
    {.name = "odd sizes", .heads = 3, .head_dim = 5, .d_state = 19},
    {.name = "d_state 1", .d_state = 1},
    {.name = "d_state 16", .d_state = 16},
    {.name = "d_state 48", .d_state = 48},
    {.name = "dt clamped", .dt_min = 0.5f, .dt_max = 0.75f},
    {.name = "large dt: softplus is linear", .dt_scale = 30.0f},
};

// Outputs, then final states. `absolute` takes the magnitudes of x, B, C, D and
// the states but leaves dt and A, which do not add up.
std::vector<float> RunScan(const ScanCase& c, bool absolute, OpRun& run) {
  const auto input = [&](int64_t count, uint64_t seed) {
    return run.Upload(absolute ? Abs(Random(count, seed)) : Random(count, seed));
  };
  const int64_t state_size = int64_t{c.heads} * c.head_dim * c.d_state;
  std::vector<StateSpan> sequences;
  int64_t rows = 0;
  for (int64_t length : c.lengths) {
    float* state = input(state_size, 100 + rows);
    sequences.push_back({.row_begin = rows,
                         .row_count = length,
                         .state_in = state,
                         .state_out = c.in_place ? state : run.Zeros(state_size)});
    rows += length;
  }
  const int64_t inner = int64_t{c.heads} * c.head_dim;
  void* out = run.Zeros(rows * inner);
  run->SelectiveScan({.xbc = input(rows * (inner + 2 * c.groups * c.d_state), 1),
                      .dt = run.Upload(Random(rows * (c.heads + 3), 2, c.dt_scale)),
                      .dt_stride = c.heads + 3,
                      .a_log = run.Upload(Random(c.heads, 3)),
                      .dt_bias = run.Upload(Random(c.heads, 4)),
                      .d = input(c.heads, 5),
                      .dt_min = c.dt_min,
                      .dt_max = c.dt_max,
                      .heads = c.heads,
                      .head_dim = c.head_dim,
                      .groups = c.groups,
                      .d_state = c.d_state,
                      .out = out,
                      .sequences = sequences});
  std::vector<float> result = run.Read(out, rows * inner);
  for (const StateSpan& span : sequences) {
    for (float value : run.Read(span.state_out, state_size)) result.push_back(value);
  }
  return result;
}

TEST_P(ScanCases, SelectiveScan) {
  for (const ScanCase& c : kScanCases) {
    SCOPED_TRACE(c.name);
    const int64_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
    // A step rounds the state three times, its decay and dt about four times each
    // (an error of the exponent e is one of e * exp(-e) < 1); the output sums d_state terms.
    ExpectWithin(RunScan(c, false, tested_), RunScan(c, false, oracle_),
                 Relative(RunScan(c, true, oracle_), (12 * longest + c.d_state + 4) * kEps));
  }
}

}  // namespace
}  // namespace eidetic
