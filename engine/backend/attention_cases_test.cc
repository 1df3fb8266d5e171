// Keys and values into pages, retrieval and attention, against the oracle.
//
// Tolerances. An error of e in the scores changes a softmax's weights by 2 e of themselves; in
// float32 e is bounded by norms (ScoreError). In bf16 queries and keys are rounded once more
// after they were turned: bounded that way the error would be larger than the outputs. Turning
// keeps lengths, so the same roundings of queries and keys before it do as much: the oracle is
// asked how far outputs move when every number is off by a random part of bf16's unit roundoff,
// and the largest such move, kSpread times, is allowed.
#include <algorithm>
#include <cmath>
#include <random>

#include "engine/backend/attention_scene.h"
#include "engine/backend/retrieval_check.h"

namespace eidetic {
namespace {

// Roundings are one draw, and the oracle's are another; the largest of thousands of moves is
// about four standard deviations.
constexpr double kSpread = 3;

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
    {.name = "two tokens, one row", .context = 1, .rows = 1, .sinks = 0, .span = 0},
    {.name = "a block and a token, one row", .context = 32, .rows = 1, .sinks = 0, .span = 0},
    {.name = "sharp, one row", .rows = 1, .sharpness = 4},
    {.name = "sharp, first chunk", .context = 0, .rows = 70, .sinks = 0, .span = 0, .sharpness = 4},
    {.name = "sharp chunk", .rows = 37, .sharpness = 4},
    {.name = "sharp chunk, true positions", .rows = 37, .remap = false, .sharpness = 4},
    {.name = "exact rule", .rows = 1, .rule = memory::RetrievalRule::kExact},
    {.name = "group of 4, head_dim 128, one row",
     .q_heads = 8,
     .head_dim = 128,
     .rotary_dim = 64,
     .context = 1500,
     .rows = 1,
     .span = 8,
     .sharpness = 4},
    {.name = "group of 8, head_dim 128, one row",
     .q_heads = 16,
     .head_dim = 128,
     .rotary_dim = 128,
     .context = 1000,
     .rows = 1,
     .span = 8,
     .window = 512,
     .sharpness = 4},
    {.name = "group of 8, head_dim 128, chunk of 37",
     .q_heads = 8,
     .kv_heads = 1,
     .head_dim = 128,
     .rotary_dim = 64,
     .rows = 37,
     .sharpness = 4},
    {.name = "group of 1, one row", .q_heads = 2, .context = 1000, .rows = 1, .sharpness = 4},
    {.name = "long window, one row",
     .context = 5000,
     .rows = 1,
     .span = 8,
     .window = 4096,
     .sharpness = 4},
    {.name = "full attention to 5,000 tokens, one row",
     .context = 4999,
     .rows = 1,
     .sinks = 0,
     .span = 0,
     .window = 1 << 20,
     .remap = false,
     .sharpness = 4},
    {.name = "full attention to 1,000 tokens, group of 8, one row",
     .q_heads = 8,
     .kv_heads = 1,
     .head_dim = 128,
     .rotary_dim = 64,
     .context = 1000,
     .rows = 1,
     .sinks = 0,
     .span = 0,
     .window = 1 << 20,
     .remap = false,
     .sharpness = 4},
    {.name = "chunk of 512",
     .q_heads = 2,
     .kv_heads = 1,
     .rotary_dim = 8,
     .context = 512,
     .rows = 512,
     .window = 128,
     .sharpness = 4},
    {.name = "block size 256", .block_size = 256, .context = 1100, .rows = 20, .span = 2},
};

// Each number off by up to bf16's unit roundoff.
std::vector<float> Perturbed(std::vector<float> values, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<float> part(-kBf16Eps, kBf16Eps);
  for (float& value : values) value *= 1 + part(generator);
  return values;
}

// A score's error in float32: a chain of head_dim + 6 roundings over |q||k|, and the cosines'
// and sines' own.
double ScoreError(const AttentionCase& c, const SceneInputs& in) {
  const auto longest = [&](const std::vector<float>& vectors) {
    double best = 0;
    for (size_t i = 0; i < vectors.size(); i += c.head_dim) {
      double squares = 0;
      for (int32_t d = 0; d < c.head_dim; ++d) squares += vectors[i + d] * vectors[i + d];
      best = std::max(best, std::sqrt(squares));
    }
    return best;
  };
  return (c.head_dim + 6) * kEps * c.scale() * longest(in.queries) * longest(in.keys);
}

class AttentionCases : public BackendCases {
 protected:
  void Draw(const AttentionCase& c, uint64_t round, SceneInputs* in) const {
    in->keys = Stored(Random(c.tokens() * c.kv_width(), 10 * round + 1));
    in->values = Stored(Random(c.tokens() * c.kv_width(), 10 * round + 2));
    in->queries = Stored(Random(c.rows * c.query_width(), 10 * round + 3, c.sharpness));
  }

  // What the oracle gives for these inputs and blocks.
  std::vector<float> Want(const AttentionCase& c, const SceneInputs& in,
                          const std::vector<int32_t>& blocks) {
    Scene scene(c, in, 0, oracle_);
    if (!blocks.empty()) scene.SetBlocks(blocks);
    return scene.Attend();
  }

  std::vector<double> Tolerance(const AttentionCase& c, const SceneInputs& in,
                                const std::vector<int32_t>& blocks,
                                const std::vector<float>& want) {
    const SceneInputs absolute{in.keys, Abs(in.values), in.queries};
    // The sums over tokens have a rounding each, and each block rescales; a weight may be
    // rounded to bf16 before it meets its value.
    const double sums = 2.0 * static_cast<double>(std::min(c.tokens(), int64_t{1024})) + 32;
    const double factor = 2 * ScoreError(c, in) + sums * kEps + Rounding();
    std::vector<double> tolerance = Relative(Want(c, absolute, blocks), factor);
    if (!tested_.bf16()) return tolerance;
    const SceneInputs perturbed{Perturbed(in.keys, 1), in.values, Perturbed(in.queries, 2)};
    const std::vector<float> moved = Want(c, perturbed, blocks);
    double largest = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      largest = std::max(largest, std::abs(double{moved[i]} - want[i]));
    }
    for (double& allowed : tolerance) allowed += kSpread * largest;
    return AndRounded(std::move(tolerance), want, Rounding());
  }

  void CheckBlocks(const AttentionCase& c, const SceneInputs& in,
                   const std::vector<int32_t>& blocks) const {
    for (int32_t g = 0; g < c.kv_heads && c.span > 0; ++g) {
      const auto chosen = std::span(blocks).subspan(g * c.span, c.span);
      EXPECT_TRUE(IsChoice(c, chosen)) << "KV head " << g;
      // Twice: tensor cores cut instead of rounding to nearest.
      const double error = 2 * (c.head_dim + 2) * kEps;
      if (!HasFailure()) EXPECT_TRUE(IsBestChoice(c, chosen, ScoreRanges(c, in, g, error)));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(AttentionCases, AppendRetrieveAttend) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(c.name);
    SceneInputs in;
    std::vector<int32_t> blocks;
    EachRound(
        [&](uint64_t round) {
          Draw(c, round, &in);
          Scene scene(c, in, round, tested_);
          if (c.span > 0) {
            RetrievalStats stats;
            blocks = scene.Retrieve(&stats);
            EXPECT_EQ(stats.choices, c.kv_heads);
            EXPECT_EQ(stats.proven, c.kv_heads);
          }
          return scene.Attend();
        },
        [&](uint64_t, const std::vector<float>& got) {
          CheckBlocks(c, in, blocks);
          if (HasFailure()) GTEST_FAIL() << "what was attended to is not known";
          const std::vector<float> want = Want(c, in, blocks);
          ExpectWithin(c.name, got, want, Tolerance(c, in, blocks, want));
        });
    if (HasFatalFailure()) return;
  }
}

// Bit by bit, where a page looks like the oracle's.
TEST_P(AttentionCases, PagesInTheHostsLayout) {
  if (tested_->bounding() != memory::SummaryKind::kBounds) {
    GTEST_SKIP() << "the device arranges its pages as suits it";
  }
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(c.name);
    SceneInputs in;
    Draw(c, 0, &in);
    tested_.Reset();
    oracle_.Reset();
    Scene scene(c, in, 0, tested_), oracle(c, in, 0, oracle_);
    EXPECT_TRUE(SameBits(scene.Pages(), oracle.Pages()));
  }
}

// Positions from 2^20 on are past the CPU's table of cosines.
TEST_P(AttentionCases, FarPositionsTurnAlike) {
  const int64_t far = (int64_t{1} << 20) - 16, begin = far / 32 * 32, rows = far + 41 - begin;
  const std::vector<float> kv = Stored(Random(rows * 2 * 128, 7));  // keys | values
  const auto attend = [&](const std::vector<float>& both, const std::vector<float>& q, OpRun& run) {
    const memory::PageLayout layout{
        .block_size = 32, .kv_heads = 2, .head_dim = 64, .element_bytes = run->kv_element_bytes()};
    std::vector<void*> pages(begin / 32 + (rows + 31) / 32);
    for (size_t b = begin / 32; b < pages.size(); ++b) pages[b] = run.Bytes(layout.page_bytes());
    AttentionChunk chunk{.row_count = rows, .begin = begin, .pages = run.Addresses(pages)};
    void* k = run.Activations(both);
    void* out = run.ActivationZeros(6 * 64);
    const void* queries = run.Activations(q);
    run->AppendKv({.k = k,
                   .v = run.After(k, 128),
                   .kv_stride = 256,
                   .layout = layout,
                   .chunks = {&chunk, 1}});
    run.Synchronize();
    chunk.row_count = 1;
    chunk.begin = far + 40;
    const SpanAttentionRequest request{.chunk = 0, .window_begin = begin, .remap = false};
    run->SpanAttention({.q = queries,
                        .q_stride = 6 * 64,
                        .q_heads = 6,
                        .layout = layout,
                        .rotary_dim = 32,
                        .scale = 0.125f,
                        .chunks = {&chunk, 1},
                        .requests = {&request, 1},
                        .out = out});
    return run.ReadActivations(out, 6 * 64);
  };
  const std::vector<float> q = Stored(Random(6 * 64, 1));
  const std::vector<float> want = attend(kv, q, oracle_);
  // As above: 73 tokens, |q||k| about 64, values below 4.
  const double score_error = 70 * kEps * 0.125 * 100;
  double allowed = 4 * (2 * score_error + 160 * kEps + Rounding());
  if (tested_.bf16()) {
    const std::vector<float> moved = attend(Perturbed(kv, 1), Perturbed(q, 2), oracle_);
    for (size_t i = 0; i < want.size(); ++i) {
      allowed = std::max(allowed, kSpread * std::abs(double{moved[i]} - want[i]));
    }
  }
  ExpectWithin("far positions", attend(kv, q, tested_), want,
               AndRounded(std::vector<double>(want.size(), allowed), want, Rounding()));
}

}  // namespace
}  // namespace eidetic
