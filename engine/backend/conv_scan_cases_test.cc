// Convolution and recurrence as one operation: what the two give in turn, bit by bit. That each
// of them is right scan_cases_test.cc shows.
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/state_slots.h"

namespace eidetic {
namespace {

using ConvScanCases = BackendCases;
INSTANTIATE_TEST_SUITE_P(Backends, ConvScanCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

struct ConvScanCase {
  const char* name;
  std::vector<int64_t> lengths;
  bool in_place = false;
  int32_t heads = 4, head_dim = 64, groups = 1, d_state = 128;
  int64_t width = 4;
  bool bias = true;
  int64_t padding = 64;  // of the projection's rows; dt stands in it

  int64_t inner() const { return int64_t{heads} * head_dim; }
  int64_t channels() const { return inner() + 2 * int64_t{groups} * d_state; }
  int64_t conv_size() const { return (width - 1) * channels(); }
  int64_t scan_size() const { return inner() * d_state; }
};

const ConvScanCase kCases[] = {
    {.name = "one token", .lengths = {1}},
    {.name = "decode", .lengths = {1, 1, 1, 1, 1}},
    {.name = "decode, in place", .lengths = {1, 1, 1}, .in_place = true},
    {.name = "decode beside prefill", .lengths = {1, 5, 1, 130, 64}},
    {.name = "decode beside prefill, in place", .lengths = {1, 5, 1, 130}, .in_place = true},
    {.name = "prefill alone", .lengths = {65, 2}},
    {.name = "d_state 64, two groups", .lengths = {1, 1, 3}, .groups = 2, .d_state = 64},
    {.name = "mamba2attn-2.7b", .lengths = {1, 1}, .heads = 80, .bias = false, .padding = 5200},
    {.name = "many heads", .lengths = std::vector<int64_t>(40, 1), .heads = 64, .d_state = 64},
    {.name = "another width", .lengths = {1, 4}, .width = 3},
    {.name = "odd sizes",
     .lengths = {1, 2, 1},
     .heads = 3,
     .head_dim = 5,
     .d_state = 19,
     .padding = 5},
};

constexpr size_t kOffset = 64;  // of the convolution's state; the recurrence's follows it

struct Inputs {
  std::vector<float> x;
  std::vector<std::vector<float>> states;
};

// Outputs, then both states of every sequence.
std::vector<float> RunBoth(const ConvScanCase& c, bool at_once, uint64_t round, const Inputs& in,
                           OpRun& run) {
  StateSlots slots(c.lengths, kOffset, c.conv_size() + c.scan_size(), c.scan_size(), c.in_place,
                   round, run);
  for (size_t i = 0; i < c.lengths.size(); ++i) slots.Set(i, in.states[i]);
  void* x = run.Activations(in.x);
  void* convolved = run.ActivationZeros(slots.rows() * c.channels());
  void* out = run.ActivationZeros(slots.rows() * c.inner());
  const CausalConv1dParams conv{.x = x,
                                .weight = run.Floats(Random(c.channels() * c.width, 2)),
                                .bias = c.bias ? run.Floats(Random(c.channels(), 3)) : nullptr,
                                .out = convolved,
                                .channels = c.channels(),
                                .width = c.width,
                                .x_stride = c.channels() + c.padding,
                                .sequences = slots.spans(),
                                .state_offset = kOffset};
  const SelectiveScanParams scan{
      .xbc = convolved,
      .dt = run.After(x, c.channels()),
      .dt_stride = conv.x_stride,
      .a_log = run.Floats(Random(c.heads, 4)),
      .dt_bias = run.Floats(Random(c.heads, 5)),
      .d = run.Floats(Random(c.heads, 6)),
      .dt_max = std::numeric_limits<float>::infinity(),
      .heads = c.heads,
      .head_dim = c.head_dim,
      .groups = c.groups,
      .d_state = c.d_state,
      .out = out,
      .sequences = slots.spans(),
      .state_offset = kOffset + static_cast<size_t>(c.conv_size()) * sizeof(float)};
  if (at_once) {
    run->ConvScan(conv, scan);
  } else {
    run->CausalConv1d(conv);
    run->SelectiveScan(scan);
  }
  std::vector<float> result = run.ReadActivations(out, slots.rows() * c.inner());
  slots.AppendStates(&result);
  return result;
}

TEST_P(ConvScanCases, EqualsTheTwoInTurn) {
  OpRun in_turn(GetParam().create());
  for (const ConvScanCase& c : kCases) {
    SCOPED_TRACE(c.name);
    Inputs in;
    in_turn.Reset();
    EachRound(
        [&](uint64_t round) {
          const uint64_t seed = 1000 * round;
          in.x = Stored(Random(CountRows(c.lengths) * (c.channels() + c.padding), seed + 1));
          in.states.clear();
          for (size_t i = 0; i < c.lengths.size(); ++i) {
            in.states.push_back(Random(c.conv_size() + c.scan_size(), seed + 100 + i));
          }
          return RunBoth(c, true, round, in, tested_);
        },
        [&](uint64_t round, const std::vector<float>& got) {
          in_turn.Again();
          EXPECT_TRUE(SameBits(got, RunBoth(c, false, round, in, in_turn)));
        });
  }
}

}  // namespace
}  // namespace eidetic
