// Convolution and recurrence, with their states, against the oracle.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/state_slots.h"

namespace eidetic {
namespace {

using ScanCases = BackendCases;
INSTANTIATE_TEST_SUITE_P(Backends, ScanCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

struct ConvCase {
  const char* name;
  std::vector<int64_t> lengths = {2, 3, 4};
  int64_t channels = 896, width = 4;
  bool bias = true, silu = true;
  bool in_place = false;  // state_out is state_in
  int64_t padding = 0;
  size_t state_offset = 0;
};

const ConvCase kConvCases[] = {
    {.name = "demo"},
    {.name = "demo inside the projection, in place", .in_place = true, .padding = 780},
    {.name = "mamba2attn-2.7b qkv", .channels = 11520, .bias = false, .silu = false},
    {.name = "bamba-9b", .channels = 8448},
    {.name = "shorter than the kernel", .lengths = {1, 2}, .in_place = true},
    {.name = "decode", .lengths = {1, 1, 1, 1}},
    {.name = "decode, state further into the slot", .lengths = {1, 1}, .state_offset = 448},
    {.name = "chunk", .lengths = {512}, .channels = 70},
    {.name = "prefill beside decode", .lengths = {1, 65, 1, 32, 33}, .state_offset = 64},
    {.name = "prefill beside decode, in place", .lengths = {1, 65, 1, 32, 33}, .in_place = true},
    {.name = "width 1: no state", .width = 1},
    {.name = "width 2", .width = 2},
    {.name = "width 3", .lengths = {1}, .channels = 65, .width = 3},
    {.name = "widest", .lengths = {5, 70}, .channels = 17, .width = 64},
    {.name = "one channel", .channels = 1},
};

struct ConvInputs {
  std::vector<float> x, weight, bias;
  std::vector<std::vector<float>> states;
  uint64_t round;
};

// Outputs, then final states.
std::vector<float> RunConv(const ConvCase& c, bool absolute, const ConvInputs& in, OpRun& run) {
  const auto values = [&](const std::vector<float>& v) { return absolute ? Abs(v) : v; };
  StateSlots slots(c.lengths, c.state_offset, (c.width - 1) * c.channels, 0, c.in_place, in.round,
                   run);
  for (size_t i = 0; i < c.lengths.size(); ++i) slots.Set(i, values(in.states[i]));
  void* out = run.ActivationZeros(slots.rows() * c.channels);
  run->CausalConv1d({.x = run.Activations(values(in.x)),
                     .weight = run.Floats(values(in.weight)),
                     .bias = c.bias ? run.Floats(values(in.bias)) : nullptr,
                     .out = out,
                     .channels = c.channels,
                     .width = c.width,
                     .x_stride = c.channels + c.padding,
                     .silu = c.silu && !absolute,
                     .sequences = slots.spans(),
                     .state_offset = c.state_offset});
  std::vector<float> result = run.ReadActivations(out, slots.rows() * c.channels);
  slots.AppendStates(&result);
  return result;
}

TEST_P(ScanCases, CausalConv1d) {
  for (const ConvCase& c : kConvCases) {
    SCOPED_TRACE(c.name);
    const int64_t rows = CountRows(c.lengths);
    ConvInputs in;
    EachRound(
        [&](uint64_t round) {
          const uint64_t seed = 1000 * round;
          in.round = round;
          in.x = Stored(Random(rows * (c.channels + c.padding), seed + 1));
          in.weight = Random(c.channels * c.width, 2);
          in.bias = Random(c.channels, 3);
          in.states.clear();
          for (size_t i = 0; i < c.lengths.size(); ++i) {
            in.states.push_back(Random((c.width - 1) * c.channels, seed + 100 + i));
          }
          return RunConv(c, false, in, tested_);
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<float> want = RunConv(c, false, in, oracle_);
          const std::vector<float> magnitudes = RunConv(c, true, in, oracle_);
          // The chain's roundings, passed on by SiLU (slope below 1.1), and SiLU's own.
          const double factor = (1.1 * static_cast<double>(c.width + 1) + 12) * kEps +
                                (c.silu ? SiluError(MaxAbs(magnitudes)) : 0);
          ExpectWithin(c.name, got, want,
                       AndRounded(Relative(magnitudes, factor), want, Rounding()));
          // A state is the inputs themselves.
          const int64_t outputs = rows * c.channels;
          EXPECT_TRUE(std::equal(got.begin() + outputs, got.end(), want.begin() + outputs));
        });
    if (HasFatalFailure()) return;
  }
}

struct ScanCase {
  const char* name;
  std::vector<int64_t> lengths = {2, 3, 4};
  int32_t heads = 12, head_dim = 64, groups = 1, d_state = 64;
  float dt_min = 0, dt_max = std::numeric_limits<float>::infinity();
  bool in_place = false;
  float dt_scale = 1.0f;
  size_t state_offset = 0;

  int64_t inner() const { return int64_t{heads} * head_dim; }
  int64_t state_size() const { return inner() * d_state; }
};

const ScanCase kScanCases[] = {
    {.name = "demo"},
    {.name = "demo chunk, in place", .lengths = {64}, .in_place = true},
    {.name = "mamba2attn-2.7b", .lengths = {1, 2}, .heads = 80, .d_state = 128},
    {.name = "bamba-9b", .lengths = {2}, .heads = 128, .d_state = 128},
    {.name = "decode, in place", .lengths = {1, 1, 1}, .in_place = true},
    {.name = "decode, state further into the slot", .lengths = {1, 1}, .state_offset = 448},
    {.name = "decode of many, d_state 128",
     .lengths = std::vector<int64_t>(9, 1),
     .heads = 16,
     .d_state = 128},
    {.name = "all lengths", .lengths = {1, 63, 64, 65, 512, 1000}, .heads = 2},
    {.name = "all lengths, d_state 128, in place",
     .lengths = {1, 63, 64, 65, 512, 1000},
     .heads = 2,
     .d_state = 128,
     .in_place = true},
    {.name = "three heads a group, state further into the slot",
     .lengths = {130, 1, 2},
     .heads = 6,
     .groups = 2,
     .d_state = 128,
     .state_offset = 448},
    {.name = "two groups", .groups = 2},
    {.name = "a group a head", .groups = 12},
    {.name = "odd sizes", .heads = 3, .head_dim = 5, .d_state = 19},
    {.name = "d_state 1", .d_state = 1},
    {.name = "d_state 16", .d_state = 16},
    {.name = "d_state 48", .d_state = 48},
    {.name = "dt clamped", .lengths = {1, 70}, .dt_min = 0.5f, .dt_max = 0.75f},
    {.name = "large dt: softplus is linear", .lengths = {1, 70}, .dt_scale = 30.0f},
    {.name = "small dt: the state hardly decays",
     .lengths = {1, 200},
     .heads = 3,
     .dt_min = 1e-4f,
     .dt_max = 1e-3f},
};

struct ScanInputs {
  std::vector<float> xbc, dt, a_log, dt_bias, d;
  std::vector<std::vector<float>> states;
  uint64_t round;
};

// Outputs, then final states. `absolute` takes the magnitudes of x, B, C, D and the states but
// leaves dt and A, which do not add up.
std::vector<float> RunScan(const ScanCase& c, bool absolute, const ScanInputs& in, OpRun& run) {
  const auto values = [&](const std::vector<float>& v) { return absolute ? Abs(v) : v; };
  StateSlots slots(c.lengths, c.state_offset, c.state_size(), c.state_size(), c.in_place, in.round,
                   run);
  for (size_t i = 0; i < c.lengths.size(); ++i) slots.Set(i, values(in.states[i]));
  void* out = run.ActivationZeros(slots.rows() * c.inner());
  run->SelectiveScan({.xbc = run.Activations(values(in.xbc)),
                      .dt = run.Activations(in.dt),
                      .dt_stride = c.heads + 3,
                      .a_log = run.Floats(in.a_log),
                      .dt_bias = run.Floats(in.dt_bias),
                      .d = run.Floats(values(in.d)),
                      .dt_min = c.dt_min,
                      .dt_max = c.dt_max,
                      .heads = c.heads,
                      .head_dim = c.head_dim,
                      .groups = c.groups,
                      .d_state = c.d_state,
                      .out = out,
                      .sequences = slots.spans(),
                      .state_offset = c.state_offset});
  std::vector<float> result = run.ReadActivations(out, slots.rows() * c.inner());
  slots.AppendStates(&result);
  return result;
}

// Of outputs, then final states, given the sums of their terms' magnitudes.
std::vector<double> ScanTolerance(const ScanCase& c, bool bf16, bool bf16_state,
                                  const std::vector<float>& want,
                                  const std::vector<float>& magnitudes) {
  std::vector<double> tolerance;
  const auto add = [&](int64_t count, double factor, double rounding) {
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = tolerance.size();
      const double error = factor * magnitudes[at] + std::numeric_limits<float>::min();
      tolerance.push_back(error + rounding * (std::abs(want[at]) + error));
    }
  };
  // A step rounds the state three times, its decay and dt about four times each (an error of the
  // exponent e is one of e * exp(-e) < 1); the output sums d_state terms.
  const auto chain = [&](int64_t length) {
    return static_cast<double>(12 * length + c.d_state + 4) * kEps;
  };
  // Tensor cores take operands in bf16. A token's weight on its way into the state is rounded
  // once; on its way from the state to an output, the state is rounded once more, or, within a
  // chunk of tokens, C B^T with its decay and dt.
  const auto operands = [&](int64_t length, int roundings) {
    const bool matrices = bf16 && length > 1 && c.head_dim == 64 && c.d_state >= 64;
    return matrices ? roundings * 1.01 * kBf16Eps : 0.0;
  };
  // A state in bf16 is rounded at the end; where no matrices are used, at every token before.
  const auto states = [&](int64_t length) {
    const bool fast = c.head_dim == 64 && (c.d_state == 64 || c.d_state == 128);
    return bf16_state && !fast ? static_cast<double>(length - 1) * 1.01 * kBf16Eps : 0.0;
  };
  for (int64_t length : c.lengths) {
    add(length * c.inner(), chain(length) + operands(length, 2) + states(length),
        bf16 ? kBf16Eps : 0);
  }
  for (int64_t length : c.lengths) {
    add(c.state_size(), chain(length) + operands(length, 1) + states(length),
        bf16_state ? kBf16Eps : 0);
  }
  return tolerance;
}

TEST_P(ScanCases, SelectiveScan) {
  const bool bf16_state = tested_->ssm_element_bytes() == sizeof(memory::Bf16);
  for (const ScanCase& c : kScanCases) {
    SCOPED_TRACE(c.name);
    const int64_t rows = CountRows(c.lengths);
    ScanInputs in;
    EachRound(
        [&](uint64_t round) {
          const uint64_t seed = 1000 * round;
          in.round = round;
          in.xbc = Stored(Random(rows * (c.inner() + 2 * c.groups * c.d_state), seed + 1));
          in.dt = Stored(Random(rows * (c.heads + 3), seed + 2, c.dt_scale));
          in.a_log = Random(c.heads, 3);
          in.dt_bias = Random(c.heads, 4);
          in.d = Random(c.heads, 5);
          in.states.clear();
          for (size_t i = 0; i < c.lengths.size(); ++i) {
            in.states.push_back(Random(c.state_size(), seed + 100 + i));
            if (bf16_state) in.states.back() = RoundedToBf16(std::move(in.states.back()));
          }
          return RunScan(c, false, in, tested_);
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<float> want = RunScan(c, false, in, oracle_);
          ExpectWithin(
              c.name, got, want,
              ScanTolerance(c, tested_.bf16(), bf16_state, want, RunScan(c, true, in, oracle_)));
        });
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace eidetic
