// What an operation of a Backend is told: plain structs, one an operation.
//
// What: shapes, strides and addresses; every field says its own. No library but the
//   standard one stands behind this header: device compilers read it too.
// Thread safety: plain values. Ownership: everything is borrowed.
// Preconditions: every pointer is in the backend's memory unless its comment says
//   "host". Host spans must stay valid and unchanged until Synchronize.
//
// Activations are row-major in the backend's activation type (`activation_bytes`
// each). T is the number of token rows of the ragged batch; row r of a chunk is one
// position of one sequence.
#ifndef EIDETIC_ENGINE_BACKEND_PARAMS_H_
#define EIDETIC_ENGINE_BACKEND_PARAMS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "memory/ids.h"
#include "memory/page_layout.h"
#include "memory/span_rules.h"

namespace eidetic {

// A weight matrix [rows (outputs), cols (inputs)] in the form its backend likes best.
class Matrix {
 public:
  virtual ~Matrix() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
};

// A small float32 array in the backend's memory (norm weights, biases, A_log, ...).
class Vector {
 public:
  virtual ~Vector() = default;
  virtual const float* data() const = 0;
  virtual int64_t size() const = 0;
};

// The residual stream and logits are float32 whatever the activation type is.
enum class Number : uint8_t { kActivation, kFloat32 };

struct EmbedParams {
  std::span<const memory::TokenId> ids;  // host, [T]; each within the table
  const Matrix* table = nullptr;         // [vocab, d_model]
  float multiplier = 1.0f;
  float* out = nullptr;  // [T, d_model]
};

// Rows [row_begin, row_begin + row_count) of a batch with weights of their own, in place of the
// operation's: an adapter trained them.
struct RowWeights {
  int64_t row_begin = 0, row_count = 0;
  const float* weight = nullptr;
};

// out = x / rms(x) * weight, rms over `dim` (Zhang & Sennrich, 2019). With `gate`,
// x is first multiplied by silu(gate) (Mamba-2's gated norm, gate before norm).
struct RmsNormParams {
  const void* x = nullptr;  // [rows, dim], row stride x_stride
  Number x_number = Number::kActivation;
  const void* gate = nullptr;     // [rows, dim], row stride gate_stride; or null
  const float* weight = nullptr;  // [dim]
  void* out = nullptr;            // [rows, dim], contiguous, activations; may be x when x is so too
  int64_t rows = 0, dim = 0;
  int64_t x_stride = 0, gate_stride = 0;  // in elements
  float eps = 1e-5f;
  std::span<const RowWeights> own = {};  // host; ascending, none meets another; each [dim]
};

// A norm that a product's input goes through first: RmsNormParams' weight, gate and eps.
struct InputNorm {
  const float* weight = nullptr;  // [w.cols]; null: x as it is
  const void* gate = nullptr;     // [rows, w.cols], row stride gate_stride; or null
  int64_t gate_stride = 0;
  float eps = 1e-5f;
};

// out = multiplier * (norm(x) W^T + bias), added to out when `accumulate`. With `swiglu` the
// first half of W's rows makes gates, the second half ups, and out = silu(gate) * up. Norm and
// SwiGLU stand here since a decode step spends as long starting kernels as running small ones.
struct MatMulParams {
  const void* x = nullptr;                // [rows, w.cols], contiguous
  Number x_number = Number::kActivation;  // kFloat32 only with a norm
  InputNorm norm = {};
  const Matrix* w = nullptr;
  const float* bias = nullptr;  // [w.rows] or null
  void* out = nullptr;          // [rows, w.rows], with swiglu [rows, w.rows / 2], contiguous
  Number out_number = Number::kActivation;  // kFloat32 with accumulate
  int64_t rows = 0;
  float multiplier = 1.0f;
  bool accumulate = false;
  bool swiglu = false;  // with neither bias, multiplier nor accumulate
};

// Rows [row_begin, row_begin + row_count) of one adapter, and its delta of a projection.
struct LowRankSegment {
  int64_t row_begin = 0, row_count = 0;
  const float* a = nullptr;  // [rank, cols]
  const float* b = nullptr;  // [rank, outputs]: B transposed, so that neighbours are read together
  int32_t rank = 0;          // 1 to kMaxLowRank
  float scale = 0;
};

inline constexpr int32_t kMaxLowRank = 256;

// out[row] += scale * B (A x[row]) for the rows of each segment, each with its own (LoRA, Hu et al.
// 2021); other rows stay as they are.
struct LowRankParams {
  const void* x = nullptr;  // [rows, cols], contiguous
  int64_t cols = 0;
  std::span<const LowRankSegment> segments;  // host; ascending, none meets another
  void* out = nullptr;                       // [rows, outputs], row stride out_stride
  Number out_number = Number::kActivation;
  int64_t outputs = 0, out_stride = 0;  // in elements
};

// Where one sequence's rows stand in the ragged batch, and its state.
// cu_seqlens style: for chunks of 2, 3, 4 tokens row_begin is 0, 2, 5.
struct StateSpan {
  int64_t row_begin = 0;
  int64_t row_count = 0;           // >= 1
  const void* state_in = nullptr;  // the published slot
  void* state_out = nullptr;       // the slot being written; may be state_in
};

// The part of a slot that stands `offset` bytes into it.
inline const float* StateIn(const StateSpan& span, size_t offset) {
  return reinterpret_cast<const float*>(static_cast<const std::byte*>(span.state_in) + offset);
}
inline float* StateOut(const StateSpan& span, size_t offset) {
  return reinterpret_cast<float*>(static_cast<std::byte*>(span.state_out) + offset);
}

// What one sequence's rows are convolved with, in place of the operation's weight and bias.
struct ConvWeights {
  const float* weight = nullptr;  // [channels, width]
  const float* bias = nullptr;    // [channels] or null
};

// Depthwise causal convolution over time, then SiLU when `silu`:
// out[t, c] = sum_j weight[c, j] * x[t - width + 1 + j, c] + bias[c].
struct CausalConv1dParams {
  const void* x = nullptr;        // [T, channels], row stride x_stride
  const float* weight = nullptr;  // [channels, width]
  const float* bias = nullptr;    // [channels] or null
  void* out = nullptr;            // [T, channels], contiguous
  int64_t channels = 0, width = 0, x_stride = 0;
  bool silu = true;
  std::span<const StateSpan> sequences;  // host
  size_t state_offset = 0;  // in bytes; there: float32 [width - 1, channels], oldest first
  std::span<const ConvWeights> own = {};  // host, [sequences]; empty: all have weight and bias
};

// With which weights a sequence's rows are convolved.
inline ConvWeights WeightsOf(const CausalConv1dParams& params, size_t sequence) {
  return params.own.empty() ? ConvWeights{params.weight, params.bias} : params.own[sequence];
}

// Mamba-2's recurrence (Dao & Gu 2024, section 6, with scalar A per head):
//   dt' = clamp(softplus(dt + dt_bias), dt_min, dt_max)
//   H   = exp(-exp(a_log) dt') H + dt' x B^T          H is [head_dim, d_state]
//   y   = H C + d x
struct SelectiveScanParams {
  const void* xbc = nullptr;  // [T, heads*head_dim + 2*groups*d_state]: x | B | C, contiguous
  const void* dt = nullptr;   // [T, heads], row stride dt_stride
  int64_t dt_stride = 0;
  const float* a_log = nullptr;    // [heads]
  const float* dt_bias = nullptr;  // [heads]
  const float* d = nullptr;        // [heads]
  float dt_min = 0, dt_max = 0;
  int32_t heads = 0, head_dim = 0, groups = 0, d_state = 0;
  void* out = nullptr;                   // [T, heads*head_dim]
  std::span<const StateSpan> sequences;  // host
  size_t state_offset = 0;  // in bytes; there: [heads, head_dim, d_state] of ssm_element_bytes()
};

// One query chunk of one sequence within one attention layer.
struct AttentionChunk {
  int64_t row_begin = 0;
  int64_t row_count = 0;         // >= 1
  memory::Position begin = 0;    // position of the first row
  void* const* pages = nullptr;  // [block] addresses; null: late (Backend::finds_late_pages)
  void* const* tiles = nullptr;  // [block / 16] addresses; null when summary is kNone
  memory::SummaryKind summary = memory::SummaryKind::kNone;
};

// Writes keys (before RoPE) and values into the pages, and the summary of every
// block that becomes complete.
struct AppendKvParams {
  const void* k = nullptr;  // [T, kv_heads*head_dim], row stride kv_stride
  const void* v = nullptr;  // the same
  int64_t kv_stride = 0;
  memory::PageLayout layout;
  std::span<const AttentionChunk> chunks;  // host
};

// What one chunk asks of the index. Blocks [first, last) are its distant blocks.
// From so many distant blocks on a partial scan comes first, where a request wants one: below, its
// further launches take longer than all channels do.
inline constexpr int32_t kPartialScanFrom = 2048;

struct RetrievalRequest {
  int32_t chunk = 0;  // index into chunks
  memory::BlockIndex first = 0, last = 0;
  memory::RetrievalRule rule = memory::RetrievalRule::kTwoStage;
  int32_t span_blocks = 0;
  int32_t first_candidates = 0, candidate_budget = 0;
  int32_t scan_channels = 0;  // of the partial scan that comes first; 0: all channels at once
};

struct RetrievalStats {
  int64_t candidates_read = 0;  // blocks whose keys were read
  int64_t choices = 0;          // one a chunk and KV head
  int64_t proven = 0;
  int64_t bytes_read = 0;  // of the index and of candidates' keys, by formula; set by the model
  double seconds = 0;      // spent in retrieval; 0 where it is not timed: on a GPU
};

// A block that a choice wanted and that has no page yet.
struct LateBlock {
  int32_t chunk = 0;  // index into chunks
  memory::BlockIndex block = 0;
};

// For each request and KV head the chosen blocks, ascending. See memory/span_retrieval.h.
struct RetrieveSpanParams {
  const void* q = nullptr;  // [T, q_heads*head_dim], row stride q_stride, before RoPE
  int64_t q_stride = 0;
  int32_t q_heads = 0;
  memory::PageLayout layout;
  std::span<const AttentionChunk> chunks;      // host
  std::span<const RetrievalRequest> requests;  // host
  // [requests * kv_heads * max_span]: block numbers, -1 after the last
  int32_t* blocks = nullptr;
  int32_t max_span = 0;             // at least every request's span_blocks
  RetrievalStats* stats = nullptr;  // host; added to, valid after Synchronize
  // Host; added to, maybe not all at once and some more than once, valid after Synchronize; null:
  // no page is late. Of those chosen, `blocks` has another block that is there, so that the step
  // can go on: its chunk is void.
  std::vector<LateBlock>* late = nullptr;
};

// Attention of one chunk: sinks, then span, then window, in this order, one online
// softmax over all of them. Without re-mapping a block's tokens stand at their own positions.
struct SpanAttentionRequest {
  int32_t chunk = 0;
  int32_t sink_blocks = 0;  // blocks [0, sink_blocks)
  int32_t span_row = -1;    // row of `blocks` ([span_row * kv_heads + g] * max_span); -1: no span
  int32_t span_count = 0;   // blocks in the span, the same for every KV head
  memory::Position window_begin = 0;  // w0, a multiple of S
  bool remap = true;      // sinks and span at 0 .. P-1, window token i at P + i - w0, where
                          // P = (sink_blocks + span_count) * S
  float* mass = nullptr;  // [kv_heads, span_count]: softmax mass of each span block, mean over the
                          // chunk's rows and the KV head's query heads; or null
};

struct SpanAttentionParams {
  const void* q = nullptr;  // [T, q_heads*head_dim], row stride q_stride, before RoPE
  int64_t q_stride = 0;
  int32_t q_heads = 0;
  memory::PageLayout layout;
  int32_t rotary_dim = 0;
  float rope_theta = 10000.0f;
  float scale = 0.0f;
  std::span<const AttentionChunk> chunks;          // host
  std::span<const SpanAttentionRequest> requests;  // host; one a chunk
  const int32_t* blocks = nullptr;                 // as RetrieveSpan wrote them
  int32_t max_span = 0;
  void* out = nullptr;  // [T, q_heads*head_dim], contiguous
};

// out = silu(gate) * up.
struct SwiGluParams {
  const void* gate = nullptr;  // [rows, dim], row stride gate_stride
  const void* up = nullptr;    // [rows, dim], row stride up_stride
  int64_t rows = 0, dim = 0, gate_stride = 0, up_stride = 0;
  void* out = nullptr;  // [rows, dim], contiguous
};

// Copies single rows between contiguous float32 or activation buffers.
struct CopyRowsParams {
  std::span<const void* const> from;  // host; row addresses
  std::span<void* const> to;          // host; row addresses
  size_t row_bytes = 0;
};

// How one row's next token is drawn. Values are validated by the caller.
struct SamplingParams {
  float temperature = 1.0f;         // 0: greedy
  int32_t top_k = 0;                // 0: off
  float top_p = 1.0f;               // 1: off
  float min_p = 0.0f;               // 0: off; keep tokens with p >= min_p * max p
  float repetition_penalty = 1.0f;  // over tokens of the prompt and the answer (Keskar et al. 2019)
  float presence_penalty = 0.0f;    // over tokens of the answer
  float frequency_penalty = 0.0f;   // the same, times the count
  std::vector<std::pair<memory::TokenId, float>> logit_bias = {};
  uint64_t seed = 0;
  int32_t top_logprobs = 0;  // 0..20 alternatives to report
};

struct TokenCount {
  memory::TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_answer = 0;
};

struct SampleRow {
  const SamplingParams* params = nullptr;   // host
  std::span<const TokenCount> counts = {};  // host; tokens seen, each once; may be empty
  memory::Position position = 0;            // of the token being drawn: noise is f(seed, position)
};

struct TokenLogprob {
  memory::TokenId token = 0;
  float logprob = 0;
};

// A NaN logit counts as minus infinity, plus infinity as the largest finite number. When all
// logits of a row are NaN or minus infinity, SampleTokens gives token 0 (ScoreTokens the target)
// with logprob minus infinity and no alternatives: the engine's sign of broken weights.
struct SampledToken {
  memory::TokenId token = 0;
  float logprob = 0;              // under softmax(logits), before penalties, bias and temperature
  std::vector<TokenLogprob> top;  // the most probable, descending; ties: lower id first
};

// Order: penalties, logit bias, temperature, top-k, top-p, min-p, draw. Ties: lower id first.
struct SampleTokensParams {
  const float* logits = nullptr;  // [rows, vocab], contiguous
  int64_t vocab = 0;
  std::span<const SampleRow> rows;  // host
  std::span<SampledToken> out;      // host, [rows]; valid after Synchronize
};

// Log-probability of given tokens: log_softmax(logits[r])[targets[r]].
struct ScoreTokensParams {
  const float* logits = nullptr;  // [rows, vocab], contiguous
  int64_t vocab = 0;
  int32_t top_logprobs = 0;
  std::span<const memory::TokenId> targets;  // host, [rows]
  std::span<SampledToken> out;  // host, [rows]; token = target; valid after Synchronize
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_PARAMS_H_
