// Drawing and scoring tokens: against the oracle, and against what the words mean.
#include <cmath>
#include <limits>
#include <map>

#include "engine/backend/backend_fixture.h"

namespace eidetic {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One row drawn at each position.
std::vector<SampledToken> Draw(OpRun& run, const std::vector<float>& logits,
                               const SamplingParams& params, int64_t positions = 1,
                               const std::vector<TokenCount>& counts = {}) {
  std::vector<float> rows;
  std::vector<SampleRow> samples;
  for (int64_t i = 0; i < positions; ++i) {
    rows.insert(rows.end(), logits.begin(), logits.end());
    samples.push_back({&params, counts, i});
  }
  std::vector<SampledToken> out(positions);
  run->SampleTokens({.logits = run.Floats(rows),
                     .vocab = static_cast<int64_t>(logits.size()),
                     .rows = samples,
                     .out = out});
  run.Synchronize();
  return out;
}

std::map<memory::TokenId, int> Histogram(const std::vector<SampledToken>& tokens) {
  std::map<memory::TokenId, int> histogram;
  for (const SampledToken& token : tokens) ++histogram[token.token];
  return histogram;
}

void ExpectSame(const SampledToken& got, const SampledToken& want) {
  EXPECT_EQ(got.token, want.token);
  // Logits reach 12 and their sum's logarithm 12: a few roundings of 24.
  const double tolerance = 24 * 8 * kEps;
  EXPECT_NEAR(got.logprob, want.logprob, tolerance);
  ASSERT_EQ(got.top.size(), want.top.size());
  for (size_t i = 0; i < got.top.size(); ++i) {
    EXPECT_EQ(got.top[i].token, want.top[i].token);
    EXPECT_NEAR(got.top[i].logprob, want.top[i].logprob, tolerance);
  }
}

class SamplingCases : public BackendCases {
 protected:
  // Probabilities 0.4, 0.3, 0.2, 0.06, 0.04.
  const std::vector<float> five_ = {std::log(0.2f), std::log(0.4f), std::log(0.04f), std::log(0.3f),
                                    std::log(0.06f)};
};
INSTANTIATE_TEST_SUITE_P(Backends, SamplingCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(SamplingCases, DrawsAsTheOracleDoes) {
  const SamplingParams kTable[] = {
      {.temperature = 0},
      {.temperature = 1, .seed = 1, .top_logprobs = 20},
      {.temperature = 0.7f, .top_k = 40, .seed = 2, .top_logprobs = 3},
      {.temperature = 1.3f, .top_p = 0.9f, .seed = 3},
      {.temperature = 1, .min_p = 0.05f, .seed = 4},
      {.temperature = 0.9f, .top_k = 100, .top_p = 0.8f, .min_p = 0.01f, .seed = 5},
      {.temperature = 1, .top_k = 1},
      {.temperature = 1, .top_p = 0.0f},
      {.temperature = 1e-30f, .seed = 6},
      {.temperature = 100, .top_p = 0.999f, .seed = 7},
      {.temperature = 1, .top_k = 1 << 20, .seed = 8},
      {.temperature = 0.8f,
       .repetition_penalty = 1.3f,
       .presence_penalty = 0.5f,
       .frequency_penalty = 0.25f,
       .logit_bias = {{5, 4.0f}, {7, -100.0f}},
       .seed = 9},
  };
  const std::vector<TokenCount> counts = {{0, 1, 0}, {3, 0, 4}, {9, 2, 2}};
  for (const int64_t vocab : {1, 17, 6144, 50289}) {
    for (const SamplingParams& params : kTable) {
      if (vocab < 10 && !params.logit_bias.empty()) continue;
      const auto& seen = params.logit_bias.empty() ? std::vector<TokenCount>{} : counts;
      tested_.Reset();
      oracle_.Reset();
      for (int round = 0; round < GetParam().rounds; ++round) {
        SCOPED_TRACE(::testing::Message()
                     << "vocab " << vocab << " seed " << params.seed << " round " << round);
        const std::vector<float> logits = Random(vocab, vocab + round, 3.0f);
        tested_.Again();
        oracle_.Again();
        const auto got = Draw(tested_, logits, params, 3, seen);
        const auto want = Draw(oracle_, logits, params, 3, seen);
        for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[i]);
      }
    }
  }
}

// Pearson's statistic of 20,000 draws: 18.5 is exceeded once in 1,000 at 4 degrees of freedom.
TEST_P(SamplingCases, FrequenciesFollowTheProbabilities) {
  const int64_t draws = 20000;
  for (const uint64_t seed : {0, 1, 12345}) {
    auto histogram = Histogram(Draw(tested_, five_, {.seed = seed}, draws));
    double statistic = 0;
    for (int32_t token = 0; token < 5; ++token) {
      const double expected = draws * std::exp(five_[token]);
      statistic += (histogram[token] - expected) * (histogram[token] - expected) / expected;
    }
    EXPECT_LT(statistic, 18.5) << "seed " << seed;
  }
}

TEST_P(SamplingCases, TemperatureSharpens) {
  const int64_t draws = 20000;
  auto histogram = Histogram(Draw(tested_, five_, {.temperature = 0.5f}, draws));
  // Squared: 0.16, 0.09, 0.04, 0.0036, 0.0016 of 0.2952; four standard deviations.
  EXPECT_NEAR(histogram[1] / double(draws), 0.16 / 0.2952, 4 * 0.0036);
  EXPECT_NEAR(histogram[3] / double(draws), 0.09 / 0.2952, 4 * 0.0033);
}

TEST_P(SamplingCases, FiltersKeepWhatTheySay) {
  const auto kept = [&](const SamplingParams& params) {
    std::vector<memory::TokenId> tokens;
    for (const auto& [token, count] : Histogram(Draw(tested_, five_, params, 2000))) {
      tokens.push_back(token);
    }
    return tokens;
  };
  using Tokens = std::vector<memory::TokenId>;
  EXPECT_EQ(kept({}), (Tokens{0, 1, 2, 3, 4}));
  EXPECT_EQ(kept({.top_k = 2}), (Tokens{1, 3}));
  EXPECT_EQ(kept({.top_p = 0.65f}), (Tokens{1, 3}));     // 0.4 + 0.3
  EXPECT_EQ(kept({.top_p = 0.75f}), (Tokens{0, 1, 3}));  // the smallest set that reaches it
  EXPECT_EQ(kept({.top_p = 0.0f}), (Tokens{1}));         // at least one
  EXPECT_EQ(kept({.min_p = 0.45f}), (Tokens{0, 1, 3}));  // 0.2 >= 0.45 * 0.4
  EXPECT_EQ(kept({.min_p = 1.0f}), (Tokens{1}));
  EXPECT_EQ(kept({.top_k = 3, .top_p = 0.7f}), (Tokens{1, 3}));  // 0.7 of what top-k left: 0.63
}

TEST_P(SamplingCases, TiesGoToTheLowerId) {
  const std::vector<float> logits = {1, 2, 2, 2};
  EXPECT_EQ(Draw(tested_, logits, {.temperature = 0})[0].token, 1);
  for (const SampledToken& token : Draw(tested_, logits, {.top_k = 2, .top_logprobs = 3}, 50)) {
    EXPECT_LE(token.token, 2);
    EXPECT_EQ(token.top[0].token, 1);
    EXPECT_EQ(token.top[1].token, 2);
    EXPECT_EQ(token.top[2].token, 3);
  }
}

TEST_P(SamplingCases, Penalties) {
  const auto greedy = [&](SamplingParams params, const std::vector<TokenCount>& counts) {
    params.temperature = 0;
    return Draw(tested_, {2.0f, 1.9f, -1.0f}, params, 1, counts)[0].token;
  };
  EXPECT_EQ(greedy({.repetition_penalty = 1.1f}, {{0, 1, 0}}), 1);  // of the prompt too
  EXPECT_EQ(greedy({.presence_penalty = 0.2f}, {{0, 1, 0}}), 0);    // of the answer alone
  EXPECT_EQ(greedy({.presence_penalty = 0.2f}, {{0, 0, 1}}), 1);
  EXPECT_EQ(greedy({.frequency_penalty = 0.06f}, {{0, 0, 1}}), 0);
  EXPECT_EQ(greedy({.frequency_penalty = 0.06f}, {{0, 0, 2}}), 1);
  EXPECT_EQ(greedy({.logit_bias = {{2, 3.1f}}}, {}), 2);
  // A negative logit is multiplied: -1 becomes -2, so a bias of 3.1 is not enough.
  EXPECT_EQ(greedy({.repetition_penalty = 2.0f, .logit_bias = {{2, 2.95f}}},
                   {{0, 1, 0}, {1, 1, 0}, {2, 1, 0}}),
            0);
}

TEST_P(SamplingCases, NoiseIsAFunctionOfSeedAndPosition) {
  const std::vector<float> logits = Random(100, 1);
  const SamplingParams a{.seed = 1}, b{.seed = 2};
  std::vector<float> rows;
  for (int i = 0; i < 3; ++i) rows.insert(rows.end(), logits.begin(), logits.end());
  std::vector<SampledToken> out(3);
  const SampleRow samples[] = {{&b, {}, 7}, {&a, {}, 7}, {&b, {}, 7}};
  tested_->SampleTokens(
      {.logits = tested_.Floats(rows), .vocab = 100, .rows = samples, .out = out});
  tested_.Synchronize();
  EXPECT_EQ(out[0].token, out[2].token);
  EXPECT_GT(Histogram(Draw(tested_, logits, a, 100)).size(), 20u);
}

TEST_P(SamplingCases, BrokenLogits) {
  const SampledToken some = Draw(tested_, {kNan, 1.0f, kNan}, {.top_logprobs = 3})[0];
  EXPECT_EQ(some.token, 1);
  EXPECT_EQ(some.logprob, 0);
  EXPECT_EQ(some.top[1].logprob, -kInfinity);
  EXPECT_EQ(Draw(tested_, {0, kInfinity}, {})[0].token, 1);
  const std::vector<float> none = {kNan, -kInfinity, kNan};
  const SampledToken broken = Draw(tested_, none, {.top_logprobs = 3})[0];
  EXPECT_EQ(broken.token, 0);
  EXPECT_EQ(broken.logprob, -kInfinity);
  EXPECT_TRUE(broken.top.empty());
}

TEST_P(SamplingCases, ScoreTokens) {
  std::vector<float> rows = Random(2 * 6144, 1, 3.0f);
  rows[6144 + 5] = kNan;
  const memory::TokenId targets[] = {4000, 5};
  const auto score = [&](OpRun& run) {
    std::vector<SampledToken> out(2);
    run->ScoreTokens({.logits = run.Floats(rows),
                      .vocab = 6144,
                      .top_logprobs = 2,
                      .targets = targets,
                      .out = out});
    run.Synchronize();
    return out;
  };
  const auto got = score(tested_), want = score(oracle_);
  EXPECT_EQ(got[0].token, 4000);
  EXPECT_NEAR(got[0].logprob, want[0].logprob, 24 * 8 * kEps);
  EXPECT_EQ(got[1].logprob, -kInfinity);
  for (int r = 0; r < 2; ++r) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(got[r].top[i].token, want[r].top[i].token);
      EXPECT_NEAR(got[r].top[i].logprob, want[r].top[i].logprob, 24 * 8 * kEps);
    }
  }
}

}  // namespace
}  // namespace eidetic
