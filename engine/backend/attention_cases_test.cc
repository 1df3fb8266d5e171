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

#include "engine/backend/attention_case_table.h"
#include "engine/backend/attention_scene.h"
#include "engine/backend/retrieval_check.h"

namespace eidetic {
namespace {

// Roundings are one draw, and the oracle's are others. One head of one row moves as a whole, so
// draws are made until so many of them have moved; the largest of 64 moves is over two standard
// deviations.
constexpr int64_t kMovedHeads = 64;
constexpr double kSpread = 3;

// Each number off by up to bf16's unit roundoff.
std::vector<float> Perturbed(std::vector<float> values, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<float> part(-kBf16Eps, kBf16Eps);
  for (float& value : values) value *= 1 + part(generator);
  return values;
}

double LargestMove(const std::vector<float>& moved, const std::vector<float>& from) {
  double largest = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    largest = std::max(largest, std::abs(double{moved[i]} - from[i]));
  }
  return largest;
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
    double largest = 0;
    for (int64_t moved_heads = 0; moved_heads < kMovedHeads; moved_heads += c.rows * c.q_heads) {
      const SceneInputs perturbed{Perturbed(in.keys, 2 * moved_heads + 1), in.values,
                                  Perturbed(in.queries, 2 * moved_heads + 2)};
      largest = std::max(largest, LargestMove(Want(c, perturbed, blocks), want));
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
      if (HasFailure()) return;
      EXPECT_TRUE(IsBestChoice(c, chosen, ScoreRanges(c, in, g, error))) << "KV head " << g;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(AttentionCases, AppendRetrieveAttend) {
  for (const AttentionCase& c : kAttentionCases) {
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
  for (const AttentionCase& c : kAttentionCases) {
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
  for (uint64_t draw = 0; draw < kMovedHeads / 6 && tested_.bf16(); ++draw) {
    const auto moved = attend(Perturbed(kv, 2 * draw + 1), Perturbed(q, 2 * draw + 2), oracle_);
    allowed = std::max(allowed, kSpread * LargestMove(moved, want));
  }
  ExpectWithin("far positions", attend(kv, q, tested_), want,
               AndRounded(std::vector<double>(want.size(), allowed), want, Rounding()));
}

}  // namespace
}  // namespace eidetic
