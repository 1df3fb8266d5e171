#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/sample_draw.cuh"
#include "engine/backend/cuda/sample_tokens.h"
#include "engine/backend/sampling_noise.h"

namespace eidetic::cuda {
namespace {

// logit' = (logit > 0 ? logit / repetition : logit * repetition) + addend.
struct Adjustment {
  int32_t token = 0;
  float repetition = 1, addend = 0;
};

struct TopResult {
  int32_t token;
  float logit;
};

struct RowResult {
  TopResult chosen;
  float maximum, sum;  // of the row's softmax
  int32_t top_count;   // zero before the launch
};

struct SampleArgs {
  const float* logits;   // [rows, vocab]
  const RowRule* rules;  // [rows]
  const Adjustment* adjustments;
  RowResult* results;  // [rows]
  TopResult* tops;     // [rows, max_top], in no order
  float* slices;       // [rows, 8, slice]; null: in shared memory
  TokenKeys keys;
  int32_t slice;  // ids of one block
  int32_t max_top;
  int32_t aligned;  // rows and slices are, to 16 bytes
};

// The room that slices may take of the 227 KB of shared memory: vocabularies up to 409,600.
constexpr size_t kSharedSliceBytes = 200 * 1024;

// Writes the best tokens, in no order: their number is small, the host sorts them.
__device__ void ReportTop(const SampleArgs& args, int64_t row, int32_t top, const RowSlice& slice,
                          ClusterMerge* merge) {
  const auto by_logit = [&](float logit, int32_t id) { return args.keys.OfLogit(logit, id); };
  const auto one = [](float, int32_t) { return uint64_t{1}; };
  const uint64_t last =
      SelectKey(slice, 32 + args.keys.id_bits, static_cast<uint64_t>(min(top, args.keys.vocab)),
                Until::kSetKnown, by_logit, one, merge);
  for (int32_t i = threadIdx.x; i < slice.count; i += kClusterThreads) {
    const float logit = slice.values[i];
    if (by_logit(logit, slice.begin + i) < last) continue;
    const int32_t place = atomicAdd(&args.results[row].top_count, 1);
    args.tops[row * args.max_top + place] = {slice.begin + i, logit};
  }
}

// Each token comes once.
__device__ void Adjust(const Adjustment* adjustments, int32_t count, const RowSlice& slice) {
  for (int32_t i = threadIdx.x; i < count; i += kClusterThreads) {
    const Adjustment by = adjustments[i];
    const int32_t at = by.token - slice.begin;
    if (at < 0 || at >= slice.count) continue;
    const float logit = slice.values[at];
    const float scaled = logit > 0 ? logit / by.repetition : logit * by.repetition;
    slice.values[at] = fminf(scaled + by.addend, FLT_MAX);
  }
  __syncthreads();
}

// The token of a row that wants more than its best. The slice holds the clean logits.
__device__ int32_t SlowToken(const SampleArgs& args, int64_t row, const RowRule& rule,
                             const RowSlice& slice, RowStats stats, ClusterMerge* merge) {
  if (rule.top > 0) ReportTop(args, row, rule.top, slice, merge);
  if (rule.given >= 0) return rule.given;
  if (rule.penalties + rule.biases > 0) {
    __syncthreads();  // all threads have read what they report
    const Adjustment* adjustments = args.adjustments + rule.adjustments;
    Adjust(adjustments, rule.penalties, slice);
    Adjust(adjustments + rule.penalties, rule.biases, slice);
    stats = (*merge)(ReadSlice(slice.values, slice, args.aligned != 0, nullptr));
  }
  if (stats.maximum == -INFINITY) return 0;
  if (rule.temperature == 0) return stats.id;
  return DrawToken(rule, slice, args.keys, stats.maximum, merge);
}

// One cluster of 8 blocks a row: even one row then has 4096 threads to read it, and its logits
// fit into the blocks' shared memory, where the many passes of a filter are cheap.
// 1. Each block reads its slice once: maximum, its id and the softmax's sum, merged over the
//    cluster. For a greedy or scored row that is all.
// 2. kSlow: the other rows keep their clean logits. The best are reported, penalties and biases
//    applied, the token drawn.
// 3. The first thread writes the token, its logit before adjustments, and the softmax's sum.
template <bool kSlow>
__global__ void __cluster_dims__(kClusterBlocks, 1, 1) __launch_bounds__(kClusterThreads)
    SampleKernel(const SampleArgs args) {
  extern __shared__ float4 shared[];
  __shared__ MergeSlots slots;
  cooperative_groups::this_cluster().sync();  // before blocks write into each other's slots
  cudaGridDependencySynchronize();
  ClusterMerge merge(&slots);
  const int64_t row = blockIdx.x / kClusterBlocks;
  const int64_t part = blockIdx.x % kClusterBlocks;
  const RowRule rule = args.rules[row];
  const int64_t begin = part * args.slice;
  RowSlice slice;
  slice.begin = static_cast<int32_t>(min(begin, int64_t{args.keys.vocab}));
  slice.count = min(args.slice, args.keys.vocab - slice.begin);
  if constexpr (kSlow) {
    slice.values = args.slices != nullptr ? args.slices + (row * kClusterBlocks + part) * args.slice
                                          : reinterpret_cast<float*>(shared);
  }
  const float* logits = args.logits + row * args.keys.vocab;
  float* keep = kSlow && rule.quick == 0 ? slice.values : nullptr;
  const RowStats stats = merge(ReadSlice(logits + slice.begin, slice, args.aligned != 0, keep));
  const bool broken = stats.maximum == -INFINITY;
  int32_t token = rule.given >= 0 ? rule.given : broken ? 0 : stats.id;
  if constexpr (kSlow) {
    if (rule.quick == 0 && !broken) token = SlowToken(args, row, rule, slice, stats, &merge);
  }
  if (part != 0 || threadIdx.x != 0) return;
  RowResult& result = args.results[row];  // its top_count is the others' too
  result.chosen = {token, CleanLogit(logits[token])};
  result.maximum = stats.maximum;
  result.sum = stats.sum;
}

// The host's side of one launch; lives until Wait.
struct SampleBatch {
  std::vector<RowRule> rules;
  std::vector<Adjustment> adjustments;
  std::vector<std::byte> staged;  // the rules, then the adjustments
  std::vector<RowResult> results;
  std::vector<TopResult> tops;  // [rows, max_top]
  int32_t max_top = 0;
};

// Limits of one launch, so that what is staged at once stays below 14 MB: with another row's
// penalties and biases on top, and rounded up, there are 2^20 adjustments of 12 bytes.
constexpr size_t kMaxRows = 1 << 14;
constexpr size_t kMaxAdjustments = 1 << 18;

void PackAdjustments(const SampleRow& row, RowRule* rule, std::vector<Adjustment>* to) {
  const SamplingParams& params = *row.params;
  rule->adjustments = static_cast<int32_t>(to->size());
  if (params.repetition_penalty != 1.0f || params.presence_penalty != 0 ||
      params.frequency_penalty != 0) {
    for (const TokenCount& count : row.counts) {
      const bool seen = count.in_prompt + count.in_answer > 0;
      const float presence = count.in_answer > 0 ? params.presence_penalty : 0.0f;
      const float frequency = params.frequency_penalty * static_cast<float>(count.in_answer);
      to->push_back(
          {count.token, seen ? params.repetition_penalty : 1.0f, -(presence + frequency)});
    }
    rule->penalties = static_cast<int32_t>(row.counts.size());
  }
  // A token may be named more than once.
  std::map<memory::TokenId, double> biases;
  for (const auto& [token, bias] : params.logit_bias) biases[token] += bias;
  for (const auto& [token, bias] : biases) to->push_back({token, 1.0f, static_cast<float>(bias)});
  rule->biases = static_cast<int32_t>(biases.size());
}

RowRule PackRow(const SampleRow& row, std::vector<Adjustment>* adjustments) {
  const SamplingParams& params = *row.params;
  RowRule rule = {.noise = SamplingNoise(params.seed, row.position),
                  .temperature = params.temperature,
                  .top_p = params.top_p,
                  .min_p = params.min_p,
                  .top_k = params.top_k,
                  .top = params.top_logprobs};
  PackAdjustments(row, &rule, adjustments);
  rule.quick = rule.temperature == 0 && rule.penalties + rule.biases == 0 && rule.top == 0;
  return rule;
}

float Logprob(const RowResult& row, float logit) {
  if (row.maximum == -INFINITY) return -INFINITY;
  return static_cast<float>(double{logit} - row.maximum - std::log(double{row.sum}));
}

void Unpack(SampleBatch& batch, std::span<SampledToken> out) {
  for (size_t r = 0; r < out.size(); ++r) {
    const RowResult& row = batch.results[r];
    out[r] = {row.chosen.token, Logprob(row, row.chosen.logit), {}};
    if (row.top_count == 0) continue;
    const std::span<TopResult> top(&batch.tops[r * batch.max_top], row.top_count);
    std::sort(top.begin(), top.end(), [](const TopResult& a, const TopResult& b) {
      return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
    });
    for (const TopResult& one : top) out[r].top.push_back({one.token, Logprob(row, one.logit)});
  }
}

// Stages rules and adjustments as one array, since a second one might not fit behind the first.
// Sizes that change from step to step are rounded up to powers of two: what is staged or
// allotted after them then keeps its place, and the step its graph.
void StageBatch(SampleBatch* batch, SampleArgs* args, LaunchQueue* queue) {
  const size_t rule_bytes = batch->rules.size() * sizeof(RowRule);
  const size_t adjustment_bytes = batch->adjustments.size() * sizeof(Adjustment);
  const size_t room = std::bit_ceil(batch->adjustments.size()) * sizeof(Adjustment);
  batch->staged.resize(rule_bytes + room);
  std::memcpy(batch->staged.data(), batch->rules.data(), rule_bytes);
  if (adjustment_bytes > 0) {
    std::memcpy(batch->staged.data() + rule_bytes, batch->adjustments.data(), adjustment_bytes);
  }
  const std::byte* device = queue->Stage(std::span<const std::byte>(batch->staged));
  args->rules = reinterpret_cast<const RowRule*>(device);
  args->adjustments = reinterpret_cast<const Adjustment*>(device + rule_bytes);
}

void LaunchBatch(const float* logits, int64_t vocab, std::shared_ptr<SampleBatch> batch,
                 std::span<SampledToken> out, Context* context) {
  LaunchQueue* queue = context->queue;
  const auto rows = static_cast<int64_t>(out.size());
  const bool slow = std::any_of(batch->rules.begin(), batch->rules.end(),
                                [](const RowRule& rule) { return rule.quick == 0; });
  uint32_t top = 0;
  for (const RowRule& rule : batch->rules) top = std::max(top, static_cast<uint32_t>(rule.top));
  batch->max_top = top > 0 ? static_cast<int32_t>(std::bit_ceil(top)) : 0;
  batch->results.resize(rows);
  batch->tops.resize(rows * batch->max_top);

  SampleArgs args = {};
  args.logits = logits;
  args.keys = {static_cast<int32_t>(vocab),
               static_cast<int32_t>(std::bit_width(static_cast<uint64_t>(vocab - 1)))};
  args.slice = static_cast<int32_t>(CeilDiv(vocab, 4 * kClusterBlocks) * 4);
  args.max_top = batch->max_top;
  args.aligned = vocab % 4 == 0 && reinterpret_cast<uintptr_t>(logits) % 16 == 0;
  StageBatch(batch.get(), &args, queue);
  args.results = static_cast<RowResult*>(
      queue->Result(batch->results.data(), batch->results.size() * sizeof(RowResult)));
  if (top > 0) {
    args.tops = static_cast<TopResult*>(
        queue->Result(batch->tops.data(), batch->tops.size() * sizeof(TopResult)));
  }
  const size_t slice_bytes = args.slice * sizeof(float);
  const bool fits = slice_bytes <= kSharedSliceBytes;
  if (slow && !fits) {
    args.slices = static_cast<float*>(context->scratch->Take(rows * kClusterBlocks * slice_bytes));
  }
  queue->Launch(slow ? SampleKernel<true> : SampleKernel<false>,
                dim3(static_cast<uint32_t>(rows * kClusterBlocks)), dim3(kClusterThreads),
                slow && fits ? slice_bytes : 0, args, Overlap::kPrologue);
  queue->Finally([batch = std::move(batch), out] { Unpack(*batch, out); });
}

// Cuts the rows into batches; pack(r, batch) adds row r to one.
template <typename Pack>
void LaunchRows(const float* logits, int64_t vocab, std::span<SampledToken> out, Context* context,
                const Pack& pack) {
  for (size_t begin = 0; begin < out.size();) {
    auto batch = std::make_shared<SampleBatch>();
    size_t end = begin;
    while (end < out.size() && end - begin < kMaxRows &&
           batch->adjustments.size() <= kMaxAdjustments) {
      pack(end++, batch.get());
    }
    LaunchBatch(logits + static_cast<int64_t>(begin) * vocab, vocab, std::move(batch),
                out.subspan(begin, end - begin), context);
    begin = end;
  }
}

}  // namespace

void SampleTokens(const SampleTokensParams& params, Context* context) {
  LaunchRows(params.logits, params.vocab, params.out, context, [&](size_t r, SampleBatch* batch) {
    const RowRule rule = PackRow(params.rows[r], &batch->adjustments);
    batch->rules.push_back(rule);
  });
}

void ScoreTokens(const ScoreTokensParams& params, Context* context) {
  LaunchRows(params.logits, params.vocab, params.out, context, [&](size_t r, SampleBatch* batch) {
    batch->rules.push_back({.given = params.targets[r],
                            .top = params.top_logprobs,
                            .quick = params.top_logprobs == 0});
  });
}

}  // namespace eidetic::cuda
