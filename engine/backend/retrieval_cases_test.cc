// Hostile keys and queries: whatever is called proven is what brute force chooses.
#include <cmath>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/backend/attention_scene.h"
#include "engine/backend/retrieval_check.h"

namespace eidetic {
namespace {

struct Family {
  const char* name;
  // From a normally distributed number; `hot` for one number of each vector.
  float (*number)(float normal, bool hot);
};

const Family kFamilies[] = {
    {"gaussian", [](float g, bool) { return g; }},
    {"zero", [](float g, bool) { return g < 0 ? -0.0f : 0.0f; }},
    {"ties: small whole numbers", [](float g, bool) { return std::trunc(g); }},
    {"huge: sums overflow",
     [](float g, bool) {
       return std::copysign(std::pow(10.0f, 18 + 20 * std::tanh(std::abs(g))), g);
     }},
    {"denormal", [](float g, bool) { return g * 1e-40f; }},
    {"one hot", [](float g, bool hot) { return hot ? g : 0.0f; }},
    {"not a number and infinities",
     [](float g, bool) { return g > 2.6f             ? NAN
                                : std::abs(g) > 2.4f ? g * INFINITY
                                                     : g; }},
};

std::vector<float> Draw(const Family& family, int64_t vectors, int32_t dim, uint64_t seed) {
  std::vector<float> values = Random(vectors * dim, seed);
  std::mt19937_64 generator(seed + 1);
  for (int64_t v = 0; v < vectors; ++v) {
    const auto hot = static_cast<int32_t>(generator() % dim);
    for (int32_t d = 0; d < dim; ++d) {
      values[v * dim + d] = family.number(values[v * dim + d], d == hot);
    }
  }
  return values;
}

// Tokens of one block become nearly one: bounds are then tight, and proofs come early.
void Cluster(const AttentionCase& c, std::vector<float>* keys) {
  for (int64_t t = 0; t < c.tokens(); ++t) {
    const int64_t first = t / c.block_size * c.block_size;
    for (int32_t d = 0; d < c.head_dim && t > first; ++d) {
      float& key = (*keys)[t * c.head_dim + d];
      key = (*keys)[first * c.head_dim + d] + 0.05f * key;
    }
  }
}

constexpr AttentionCase kLong{.name = "long",
                              .q_heads = 3,
                              .kv_heads = 1,
                              .context = 2400 * 32 + 5,
                              .rows = 1,
                              .window = 64,
                              .candidate_budget = 2400};

class RetrievalCases : public BackendCases {
 protected:
  // Counts what was proven.
  void Check(const AttentionCase& c, const Family& keys, const Family& queries, bool clustered) {
    SceneInputs in;
    EachRound(
        [&](uint64_t round) {
          in.keys = Draw(keys, c.tokens(), c.head_dim, 10 * round + 1);
          if (clustered) Cluster(c, &in.keys);
          in.keys = Stored(std::move(in.keys));
          in.values = Stored(Random(c.tokens() * c.head_dim, 3));
          in.queries = Stored(Draw(queries, c.rows * c.q_heads, c.head_dim, 10 * round + 4));
          RetrievalStats stats;
          Scene scene(c, in, round, tested_);
          const std::vector<int32_t> blocks = scene.Retrieve(&stats);
          std::vector<float> result(blocks.begin(), blocks.end());
          result.push_back(static_cast<float>(stats.proven));
          EXPECT_EQ(stats.choices, 1);
          return result;
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<int32_t> blocks(got.begin(), got.end() - 1);
          ASSERT_TRUE(IsChoice(c, blocks));
          ++tried_;
          if (got.back() == 0) return;
          ++proven_;
          // Twice: tensor cores cut instead of rounding to nearest.
          const double error = 2 * (c.head_dim + 2) * kEps;
          EXPECT_TRUE(IsBestChoice(c, blocks, ScoreRanges(c, in, 0, error)))
              << ::testing::PrintToString(blocks);
        });
  }

  // As many blocks as are wanted hold what a query head looks for.
  void FindPlanted(const AttentionCase& c) {
    std::vector<int32_t> planted;
    SceneInputs in;
    EachRound(
        [&](uint64_t round) {
          in.keys = Random(c.tokens() * c.head_dim, 10 * round + 1);
          in.queries = Random(c.rows * c.q_heads * c.head_dim, 10 * round + 2);
          planted.clear();
          for (int32_t i = 0; i < c.span; ++i) {
            planted.push_back(17 + 600 * i + 31 * static_cast<int32_t>(round));
            const int64_t token = planted.back() * 32 + 9 * i;
            for (int32_t d = 0; d < c.head_dim; ++d) {
              in.keys[token * c.head_dim + d] = 1.5f * in.queries[i % c.q_heads * c.head_dim + d];
            }
          }
          in.keys = Stored(std::move(in.keys));
          in.values = Stored(Random(c.tokens() * c.head_dim, 3));
          in.queries = Stored(std::move(in.queries));
          RetrievalStats stats;
          Scene scene(c, in, round, tested_);
          const std::vector<int32_t> chosen = scene.Retrieve(&stats);
          EXPECT_EQ(stats.choices, 1);
          return std::vector<float>(chosen.begin(), chosen.end());
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<int32_t> blocks(got.begin(), got.end());
          ASSERT_TRUE(IsChoice(c, blocks));
          EXPECT_EQ(blocks, planted);
        });
  }

  int tried_ = 0, proven_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Backends, RetrievalCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(RetrievalCases, WhatIsCalledProvenIsBruteForcesChoice) {
  const Family& gaussian = kFamilies[0];
  for (const Family& keys : kFamilies) {
    for (const Family& queries : {keys, gaussian}) {
      for (const int32_t head_dim : {64, 24}) {
        for (const int32_t budget : {8, 1000}) {  // of 38 distant blocks
          for (const bool clustered : {false, true}) {
            SCOPED_TRACE(absl::StrCat("keys ", keys.name, ", queries ", queries.name, ", head_dim ",
                                      head_dim, ", budget ", budget,
                                      clustered ? ", clustered" : ""));
            const AttentionCase c{.name = "hostile",
                                  .q_heads = 3,
                                  .kv_heads = 1,
                                  .head_dim = head_dim,
                                  .context = 41 * 32 + 5,
                                  .rows = 2,
                                  .window = 64,
                                  .first_candidates = 6,
                                  .candidate_budget = budget};
            Check(c, keys, queries, clustered);
          }
        }
      }
    }
  }
  // With a budget for every block nothing stays unproven; with a small one some are found early.
  EXPECT_GT(proven_, tried_ / 2);
}

TEST_P(RetrievalCases, ASpanForEveryDistantBlockTakesThemAll) {
  const AttentionCase c{.name = "all",
                        .q_heads = 3,
                        .kv_heads = 1,
                        .context = 330,
                        .rows = 1,
                        .span = 12,
                        .window = 64};
  Check(c, kFamilies[0], kFamilies[0], false);
  EXPECT_EQ(proven_, tried_);
}

// What would be chosen is late: it is told, at once or after what was told before has come, and
// another block stands in for it.
TEST_P(RetrievalCases, ABlockWithoutItsPageIsTold) {
  const AttentionCase base{.name = "late",
                           .q_heads = 3,
                           .kv_heads = 1,
                           .context = 41 * 32 + 5,
                           .rows = 1,
                           .window = 64,
                           .first_candidates = 6};
  std::vector<AttentionCase> cases(9, base);
  cases[1].rows = 5;       // many columns
  cases[2].head_dim = 24;  // without matrix units
  cases[3].rule = memory::RetrievalRule::kExact;
  cases[4].rule = memory::RetrievalRule::kBound;
  cases[5].rule = memory::RetrievalRule::kMean;
  cases[6].span = cases[6].last_distant() - cases[6].sinks;  // all of them, unread
  cases[7].context = 2400 * 32 + 5;
  cases[7].scan_channels = 16;
  cases[8].context = cases[7].context;  // more groups of blocks than candidates
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(&c - cases.data());
    SceneInputs in;
    EachRound(
        [&](uint64_t round) {
          in.keys = Stored(Random(c.tokens() * c.head_dim, 10 * round + 1));
          in.values = Stored(Random(c.tokens() * c.head_dim, 3));
          in.queries = Stored(Random(c.rows * c.q_heads * c.head_dim, 10 * round + 4));
          RetrievalStats stats;
          Scene scene(c, in, round, tested_);
          const std::vector<int32_t> best = scene.Retrieve(&stats);
          std::set<int32_t> missing(best.begin(), best.end());
          missing.erase(c.sinks);  // the first distant block is never late
          std::vector<LateBlock> late;
          std::vector<int32_t> blocks;
          do {
            scene.SetLate(missing);
            late.clear();
            blocks = scene.Retrieve(&stats, &late);
            for (const int32_t block : blocks) {
              EXPECT_TRUE(block >= c.sinks && !missing.contains(block)) << block;
            }
            std::set<int32_t> told;
            for (const LateBlock& block : late) {
              EXPECT_EQ(block.chunk, 0);
              told.insert(block.block);
            }
            for (const int32_t block : told) EXPECT_EQ(missing.erase(block), 1) << block;
          } while (!late.empty() && !HasFailure());
          EXPECT_TRUE(missing.empty());
          EXPECT_EQ(blocks, best);
          return std::vector<float>(best.begin(), best.end());
        },
        [&](uint64_t, const std::vector<float>& got) {
          EXPECT_TRUE(IsChoice(c, std::vector<int32_t>(got.begin(), got.end())));
        });
  }
}

// A long history, of which a partial scan comes first where the backend has one.
TEST_P(RetrievalCases, APartialScanFindsWhatStandsOut) {
  AttentionCase c = kLong;
  c.first_candidates = 96;
  c.scan_channels = 16;
  // Bounds of channels, which a CPU has, rank such keys badly: there it reads on.
  if (tested_->bounding() == memory::SummaryKind::kCodes) c.candidate_budget = c.first_candidates;
  FindPlanted(c);
}

// Every first candidate stands in another group of blocks: reading on passes over them.
TEST_P(RetrievalCases, CandidatesFarApartAreListedOnce) {
  for (const int64_t rows : {1, 5}) {
    AttentionCase c = kLong;
    c.rows = rows;
    FindPlanted(c);
  }
}

}  // namespace
}  // namespace eidetic
