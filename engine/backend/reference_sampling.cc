#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/reference_ops.h"
#include "engine/backend/sampling_noise.h"

namespace eidetic {
namespace {

using memory::TokenId;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

std::vector<double> Clean(const float* logits, int64_t vocab) {
  std::vector<double> clean(logits, logits + vocab);
  for (double& logit : clean) {
    if (std::isnan(logit)) logit = kMinusInfinity;
    logit = std::min<double>(logit, std::numeric_limits<float>::max());
  }
  return clean;
}

// Tokens from the best to the worst; the lower id first among equals.
std::vector<TokenId> Ranked(const std::vector<double>& logits) {
  std::vector<TokenId> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  return ids;
}

// Log-probabilities, the token to report and the best `count`.
SampledToken Report(const std::vector<double>& logits, TokenId token, int32_t count) {
  const std::vector<TokenId> ranked = Ranked(logits);
  const double maximum = logits[ranked[0]];
  if (maximum == kMinusInfinity) return {token, static_cast<float>(kMinusInfinity), {}};
  double sum = 0;
  for (double logit : logits) sum += std::exp(logit - maximum);
  const auto logprob = [&](TokenId id) {
    return static_cast<float>(logits[id] - maximum - std::log(sum));
  };
  SampledToken report{token, logprob(token), {}};
  for (int32_t i = 0; i < std::min<int32_t>(count, static_cast<int32_t>(logits.size())); ++i) {
    report.top.push_back({ranked[i], logprob(ranked[i])});
  }
  return report;
}

void Adjust(const SampleRow& row, std::vector<double>& logits) {
  const SamplingParams& params = *row.params;
  for (const TokenCount& count : row.counts) {
    double& logit = logits[count.token];
    if (count.in_prompt + count.in_answer > 0) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (count.in_answer > 0) logit -= params.presence_penalty;
    logit -= double{params.frequency_penalty} * count.in_answer;
  }
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
}

TokenId Draw(const SampleRow& row, std::vector<double> logits) {
  const SamplingParams& params = *row.params;
  Adjust(row, logits);
  std::vector<TokenId> kept = Ranked(logits);
  if (params.temperature == 0 || logits[kept[0]] == kMinusInfinity) return kept[0];
  const double maximum = logits[kept[0]];
  const auto weight = [&](TokenId id) {
    return std::exp((logits[id] - maximum) / params.temperature);
  };
  if (params.top_k > 0) kept.resize(std::min<size_t>(kept.size(), params.top_k));
  double total = 0;
  for (TokenId id : kept) total += weight(id);
  double reached = 0;
  for (size_t i = 0; i < kept.size() && params.top_p < 1; ++i) {
    reached += weight(kept[i]);
    if (reached >= params.top_p * total) kept.resize(i + 1);
  }
  const auto small = [&](TokenId id) { return weight(id) < params.min_p; };
  kept.erase(std::find_if(kept.begin(), kept.end(), small), kept.end());
  // Inverse of the cumulative distribution, over ids.
  total = 0;
  for (TokenId id : kept) total += weight(id);
  const double share = SamplingNoise(params.seed, row.position) * total;
  std::sort(kept.begin(), kept.end());
  reached = 0;
  for (TokenId id : kept) {
    reached += weight(id);
    if (reached > share) return id;
  }
  return kept.back();
}

}  // namespace

void ReferenceSampleTokens(const SampleTokensParams& params) {
  for (size_t r = 0; r < params.rows.size(); ++r) {
    const std::vector<double> logits =
        Clean(static_cast<const float*>(params.logits) + r * params.vocab, params.vocab);
    const bool broken = *std::max_element(logits.begin(), logits.end()) == kMinusInfinity;
    const TokenId token = broken ? 0 : Draw(params.rows[r], logits);
    params.out[r] = Report(logits, token, params.rows[r].params->top_logprobs);
  }
}

void ReferenceScoreTokens(const ScoreTokensParams& params) {
  for (size_t r = 0; r < params.targets.size(); ++r) {
    const std::vector<double> logits =
        Clean(static_cast<const float*>(params.logits) + r * params.vocab, params.vocab);
    params.out[r] = Report(logits, params.targets[r], params.top_logprobs);
  }
}

}  // namespace eidetic
