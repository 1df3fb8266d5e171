#include "engine/backend/param_checks.h"

#include <glog/logging.h>

namespace eidetic {
namespace {

void CheckSequences(std::span<const StateSpan> sequences, bool has_state) {
  for (const StateSpan& sequence : sequences) {
    CHECK_GE(sequence.row_begin, 0);
    CHECK_GE(sequence.row_count, 1);
    CHECK(!has_state || (sequence.state_in != nullptr && sequence.state_out != nullptr));
  }
}

// Segments of rows: ascending, none empty, none meets another.
template <typename Segment>
void CheckSegments(std::span<const Segment> segments) {
  int64_t end = 0;
  for (const Segment& segment : segments) {
    CHECK_GE(segment.row_begin, end);
    CHECK_GE(segment.row_count, 1);
    end = segment.row_begin + segment.row_count;
  }
}

void CheckLayout(const memory::PageLayout& layout) {
  CHECK_GE(layout.block_size, 16);
  CHECK_LE(layout.block_size, 256);
  CHECK_EQ(layout.block_size % 16, 0);
  CHECK_GE(layout.kv_heads, 1);
  CHECK_GE(layout.head_dim, 1);
}

void CheckChunks(std::span<const AttentionChunk> chunks) {
  for (const AttentionChunk& chunk : chunks) {
    CHECK_GE(chunk.row_begin, 0);
    CHECK_GE(chunk.row_count, 1);
    CHECK_GE(chunk.begin, 0);
    CHECK(chunk.pages != nullptr);
    CHECK(chunk.tiles != nullptr || chunk.summary == memory::SummaryKind::kNone);
  }
}

void CheckQueryHeads(int32_t q_heads, const memory::PageLayout& layout, int64_t q_stride) {
  CHECK_GE(q_heads, 1);
  CHECK_EQ(q_heads % layout.kv_heads, 0);
  CHECK_GE(q_stride, int64_t{q_heads} * layout.head_dim);
}

void CheckRequest(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const int64_t size = params.layout.block_size;
  CHECK_GE(request.chunk, 0);
  CHECK_LT(static_cast<size_t>(request.chunk), params.chunks.size());
  CHECK_GE(request.sink_blocks, 0);
  CHECK_EQ(request.window_begin % size, 0);
  CHECK_LE(request.sink_blocks * size, request.window_begin) << "sinks reach into the window";
  CHECK_LE(request.window_begin, params.chunks[request.chunk].begin);
  CHECK_GE(request.span_count, 0);
  CHECK_LE(request.span_count, params.max_span);
  CHECK(request.span_count == 0 || (request.span_row >= 0 && params.blocks != nullptr));
}

}  // namespace

void CheckParams(const EmbedParams& params) {
  CHECK(params.table != nullptr && params.out != nullptr);
  for (memory::TokenId id : params.ids) {
    CHECK_GE(id, 0);
    CHECK_LT(id, params.table->rows());
  }
}

void CheckParams(const RmsNormParams& params) {
  CHECK(params.x != nullptr && params.weight != nullptr && params.out != nullptr);
  CHECK_GE(params.rows, 0);
  CHECK_GE(params.dim, 1);
  CHECK_GE(params.x_stride, params.dim);
  CHECK(params.gate == nullptr || params.gate_stride >= params.dim);
  CHECK(params.out != params.x ||
        (params.x_stride == params.dim && params.x_number == Number::kActivation));
  CheckSegments(params.own);
  for (const RowWeights& own : params.own) {
    CHECK(own.weight != nullptr);
    CHECK_LE(own.row_begin + own.row_count, params.rows);
  }
}

void CheckParams(const MatMulParams& params) {
  CHECK(params.x != nullptr && params.w != nullptr && params.out != nullptr);
  CHECK_GE(params.rows, 0);
  CHECK(params.x_number == Number::kActivation || params.norm.weight != nullptr);
  CHECK(params.norm.gate == nullptr || params.norm.weight != nullptr);
  CHECK(!params.accumulate || params.out_number == Number::kFloat32);
  if (!params.swiglu) return;
  CHECK(params.bias == nullptr && params.multiplier == 1.0f && !params.accumulate);
  CHECK(params.out_number == Number::kActivation);
  CHECK_EQ(params.w->rows() % 2, 0);
}

void CheckParams(const LowRankParams& params) {
  CHECK(params.x != nullptr && params.out != nullptr);
  CHECK_GE(params.cols, 1);
  CHECK_GE(params.outputs, 1);
  CHECK_GE(params.out_stride, params.outputs);
  CheckSegments(params.segments);
  for (const LowRankSegment& segment : params.segments) {
    CHECK(segment.a != nullptr && segment.b != nullptr);
    CHECK_GE(segment.rank, 1);
    CHECK_LE(segment.rank, kMaxLowRank);
  }
}

void CheckParams(const CausalConv1dParams& params) {
  CHECK(params.x != nullptr && params.weight != nullptr && params.out != nullptr);
  CHECK_GE(params.channels, 1);
  CHECK_GE(params.width, 1);
  CHECK_LE(params.width, kMaxConvWidth);
  CHECK_GE(params.x_stride, params.channels);
  CheckSequences(params.sequences, params.width > 1);
  CHECK(params.own.empty() || params.own.size() == params.sequences.size());
  for (const ConvWeights& own : params.own) CHECK(own.weight != nullptr);
}

void CheckParams(const SelectiveScanParams& params) {
  CHECK(params.xbc != nullptr && params.dt != nullptr && params.out != nullptr);
  CHECK(params.a_log != nullptr && params.dt_bias != nullptr && params.d != nullptr);
  CHECK_GE(params.heads, 1);
  CHECK_GE(params.head_dim, 1);
  CHECK_GE(params.groups, 1);
  CHECK_GE(params.d_state, 1);
  CHECK_EQ(params.heads % params.groups, 0);
  CHECK_GE(params.dt_stride, params.heads);
  CHECK_LE(params.dt_min, params.dt_max);
  CheckSequences(params.sequences, /*has_state=*/true);
}

void CheckParams(const AppendKvParams& params) {
  CHECK(params.k != nullptr && params.v != nullptr);
  CheckLayout(params.layout);
  CHECK_GE(params.kv_stride, int64_t{params.layout.kv_heads} * params.layout.head_dim);
  CheckChunks(params.chunks);
}

void CheckParams(const RetrieveSpanParams& params) {
  CHECK(params.q != nullptr && params.blocks != nullptr);
  CheckLayout(params.layout);
  CheckQueryHeads(params.q_heads, params.layout, params.q_stride);
  CheckChunks(params.chunks);
  for (const RetrievalRequest& request : params.requests) {
    CHECK_GE(request.chunk, 0);
    CHECK_LT(static_cast<size_t>(request.chunk), params.chunks.size());
    CHECK_GE(request.first, 0);
    CHECK_LE(request.first, request.last);
    CHECK_LE(int64_t{request.last} * params.layout.block_size, params.chunks[request.chunk].begin)
        << "a distant block is not complete";
    CHECK_GE(request.span_blocks, 0);
    CHECK_LE(request.span_blocks, params.max_span);
  }
}

void CheckParams(const SpanAttentionParams& params) {
  CHECK(params.q != nullptr && params.out != nullptr);
  CheckLayout(params.layout);
  CheckQueryHeads(params.q_heads, params.layout, params.q_stride);
  CHECK_GE(params.rotary_dim, 0);
  CHECK_LE(params.rotary_dim, params.layout.head_dim);
  CHECK_EQ(params.rotary_dim % 2, 0);
  CHECK_GT(params.rope_theta, 0);
  CheckChunks(params.chunks);
  for (const SpanAttentionRequest& request : params.requests) CheckRequest(params, request);
}

void CheckParams(const SwiGluParams& params) {
  CHECK(params.gate != nullptr && params.up != nullptr && params.out != nullptr);
  CHECK_GE(params.rows, 0);
  CHECK_GE(params.dim, 1);
  CHECK_GE(params.gate_stride, params.dim);
  CHECK_GE(params.up_stride, params.dim);
}

void CheckParams(const CopyRowsParams& params) {
  CHECK_EQ(params.from.size(), params.to.size());
  for (size_t i = 0; i < params.from.size(); ++i) {
    CHECK(params.from[i] != nullptr && params.to[i] != nullptr);
  }
}

void CheckParams(const SampleTokensParams& params) {
  CHECK(params.logits != nullptr);
  CHECK_GE(params.vocab, 1);
  CHECK_EQ(params.rows.size(), params.out.size());
  const auto in_vocab = [&](memory::TokenId token) { return token >= 0 && token < params.vocab; };
  for (const SampleRow& row : params.rows) {
    CHECK(row.params != nullptr);
    CHECK_GE(row.params->temperature, 0);
    for (const TokenCount& count : row.counts) CHECK(in_vocab(count.token)) << count.token;
    for (const auto& [token, bias] : row.params->logit_bias) CHECK(in_vocab(token)) << token;
  }
}

void CheckParams(const ScoreTokensParams& params) {
  CHECK(params.logits != nullptr);
  CHECK_GE(params.vocab, 1);
  CHECK_EQ(params.targets.size(), params.out.size());
  for (memory::TokenId target : params.targets) {
    CHECK_GE(target, 0);
    CHECK_LT(target, params.vocab);
  }
}

}  // namespace eidetic
