// Flow of a draw: adjust the logits, turn them into weights exp((l - max) / t),
// zero the weights that top-k, top-p and min-p leave out, and walk the rest in
// order of ids until the drawn share of their sum is reached.
#include "engine/backend/cpu/sample_tokens.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/cpu/softmax_row.h"
#include "engine/backend/sampling_noise.h"

namespace eidetic::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// A row's log-probabilities, before anything is adjusted.
class LogSoftmax {
 public:
  LogSoftmax(const float* logits, int64_t vocab, SamplingScratch* scratch)
      : vocab_(vocab), clean_(scratch->clean.Ensure(vocab)), order_(&scratch->order) {
    maximum_ = CleanRow(logits, vocab, clean_);
    if (broken()) return;
    log_sum_ = std::log(ExpRow(clean_, vocab, maximum_, 1.0f, scratch->weights.Ensure(vocab)));
  }

  bool broken() const { return maximum_ == kMinusInfinity; }
  const float* clean() const { return clean_; }
  float operator[](memory::TokenId token) const {
    if (broken()) return kMinusInfinity;
    return static_cast<float>(double{clean_[token]} - maximum_ - log_sum_);
  }

  std::vector<TokenLogprob> Top(int32_t count) const {
    std::vector<TokenLogprob> top;
    if (broken() || count == 0) return top;
    order_->Reset(clean_, vocab_);
    for (int64_t rank = 0; rank < std::min<int64_t>(count, vocab_); ++rank) {
      const memory::TokenId token = order_->At(rank);
      top.push_back({token, (*this)[token]});
    }
    return top;
  }

 private:
  int64_t vocab_;
  float* clean_;
  TokenOrder* order_;
  float maximum_;
  double log_sum_ = 0;
};

void Adjust(const SampleRow& row, float* logits) {
  const SamplingParams& params = *row.params;
  for (const TokenCount& count : row.counts) {
    float& logit = logits[count.token];
    if (count.in_prompt + count.in_answer > 0) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (count.in_answer > 0) {
      logit -=
          params.presence_penalty + params.frequency_penalty * static_cast<float>(count.in_answer);
    }
  }
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
}

// The last token, in order of logits, that top-k and then top-p keep. top-p is
// over the distribution that top-k leaves: the smallest set that reaches it.
memory::TokenId LastKept(const SamplingParams& params, const float* weights, double total,
                         int64_t vocab, TokenOrder* order) {
  int64_t last = vocab - 1;
  if (params.top_k > 0 && params.top_k < vocab) {
    last = params.top_k - 1;
    total = 0;
    for (int64_t rank = 0; rank <= last; ++rank) total += weights[order->At(rank)];
  }
  if (params.top_p < 1.0f) {
    double reached = 0;
    for (int64_t rank = 0; rank < last; ++rank) {
      reached += weights[order->At(rank)];
      if (reached >= params.top_p * total) last = rank;
    }
  }
  return order->At(last);
}

// Zeroes the weights that the row's filters leave out.
void Filter(const SamplingParams& params, const float* logits, double total, int64_t vocab,
            TokenOrder* order, float* weights) {
  if ((params.top_k > 0 && params.top_k < vocab) || params.top_p < 1.0f) {
    order->Reset(logits, vocab);
    const memory::TokenId last = LastKept(params, weights, total, vocab, order);
    for (memory::TokenId token = 0; token < vocab; ++token) {
      if (order->Before(last, token)) weights[token] = 0;
    }
  }
  // The largest weight is exp(0) = 1.
  for (int64_t token = 0; token < vocab; ++token) {
    if (weights[token] < params.min_p) weights[token] = 0;
  }
}

// Inverse of the cumulative distribution over ids.
memory::TokenId Draw(const float* weights, int64_t vocab, double share) {
  double total = 0;
  for (int64_t token = 0; token < vocab; ++token) total += weights[token];
  double reached = 0;
  memory::TokenId last = 0;
  for (int64_t token = 0; token < vocab; ++token) {
    if (weights[token] == 0) continue;
    last = static_cast<memory::TokenId>(token);
    reached += weights[token];
    if (reached > share * total) break;
  }
  return last;
}

memory::TokenId SampleRowToken(const SampleRow& row, const float* clean, int64_t vocab,
                               SamplingScratch* scratch) {
  const SamplingParams& params = *row.params;
  float* adjusted = scratch->adjusted.Ensure(vocab);
  std::copy_n(clean, vocab, adjusted);
  Adjust(row, adjusted);
  const float* best = std::max_element(adjusted, adjusted + vocab);  // the first of equals
  if (params.temperature == 0 || *best == kMinusInfinity) {
    return static_cast<memory::TokenId>(best - adjusted);
  }
  float* weights = scratch->weights.Ensure(vocab);
  const double total = ExpRow(adjusted, vocab, *best, params.temperature, weights);
  Filter(params, adjusted, total, vocab, &scratch->order, weights);
  return Draw(weights, vocab, SamplingNoise(params.seed, row.position));
}

}  // namespace

void SampleTokens(const SampleTokensParams& params, std::vector<SamplingScratch>* scratch,
                  ThreadPool* pool) {
  const auto rows = static_cast<int64_t>(params.rows.size());
  pool->ParallelFor(rows, [&](int64_t r, int worker) {
    const float* logits = static_cast<const float*>(params.logits) + r * params.vocab;
    SamplingScratch* mine = &(*scratch)[worker];
    const LogSoftmax logprobs(logits, params.vocab, mine);
    SampledToken& out = params.out[r];
    out.token = logprobs.broken()
                    ? 0
                    : SampleRowToken(params.rows[r], logprobs.clean(), params.vocab, mine);
    out.logprob = logprobs[out.token];
    out.top = logprobs.Top(params.rows[r].params->top_logprobs);
  });
}

void ScoreTokens(const ScoreTokensParams& params, std::vector<SamplingScratch>* scratch,
                 ThreadPool* pool) {
  const auto rows = static_cast<int64_t>(params.targets.size());
  pool->ParallelFor(rows, [&](int64_t r, int worker) {
    const float* logits = static_cast<const float*>(params.logits) + r * params.vocab;
    const LogSoftmax logprobs(logits, params.vocab, &(*scratch)[worker]);
    params.out[r] = {params.targets[r], logprobs[params.targets[r]],
                     logprobs.Top(params.top_logprobs)};
  });
}

}  // namespace eidetic::cpu
