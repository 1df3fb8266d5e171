#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/reference_ops.h"

namespace eidetic {
namespace {

// Rotates the first rotary_dim channels as Hugging Face does: angles are float32,
// pairs are (i, i + rotary_dim / 2).
void Rotate(std::vector<double>& x, int32_t rotary_dim, float theta, int64_t position) {
  const int32_t half = rotary_dim / 2;
  for (int32_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    const float frequency = 1.0f / std::pow(theta, exponent);
    const double angle = static_cast<float>(position) * frequency;
    const double a = x[i], b = x[i + half];
    x[i] = a * std::cos(angle) - b * std::sin(angle);
    x[i + half] = b * std::cos(angle) + a * std::sin(angle);
  }
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> KeyOf(const memory::PageLayout& layout, const AttentionChunk& chunk, int32_t g,
                          int64_t token) {
  const float* keys = layout.Keys(chunk.pages[token / layout.block_size], g);
  std::vector<double> key(layout.head_dim);
  for (int32_t d = 0; d < layout.head_dim; ++d) {
    key[d] = keys[int64_t{d} * layout.block_size + token % layout.block_size];
  }
  return key;
}

std::vector<double> QueryOf(const void* q, int64_t stride, const memory::PageLayout& layout,
                            int64_t row, int64_t head) {
  const float* from = static_cast<const float*>(q) + row * stride + head * layout.head_dim;
  return {from, from + layout.head_dim};
}

// A token that a query attends to, where it stands, and which span block it is of (-1: none).
struct Seen {
  int64_t token, position;
  int32_t span_block;
};

std::vector<Seen> SeenBy(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                         int32_t g, int64_t query) {
  const int64_t size = params.layout.block_size;
  const int64_t before = (request.sink_blocks + request.span_count) * size;
  std::vector<Seen> seen;
  for (int64_t t = 0; t < request.sink_blocks * size; ++t) seen.push_back({t, t, -1});
  for (int32_t i = 0; i < request.span_count; ++i) {
    const int64_t block =
        params
            .blocks[(int64_t{request.span_row} * params.layout.kv_heads + g) * params.max_span + i];
    for (int64_t t = 0; t < size; ++t) {
      const int64_t token = block * size + t;
      seen.push_back({token, request.remap ? (request.sink_blocks + i) * size + t : token, i});
    }
  }
  for (int64_t token = request.window_begin; token <= query; ++token) {
    seen.push_back({token, request.remap ? before + token - request.window_begin : token, -1});
  }
  return seen;
}

// One query head of one row; adds the softmax mass of each span block to `mass`.
void AttendQuery(const SpanAttentionParams& params, const SpanAttentionRequest& request,
                 int64_t row, int32_t head, std::vector<double>& mass) {
  const memory::PageLayout& layout = params.layout;
  const AttentionChunk& chunk = params.chunks[request.chunk];
  const int32_t g = head / (params.q_heads / layout.kv_heads);
  const std::vector<Seen> seen = SeenBy(params, request, g, chunk.begin + row);
  std::vector<double> q = QueryOf(params.q, params.q_stride, layout, chunk.row_begin + row, head);
  Rotate(q, params.rotary_dim, params.rope_theta, seen.back().position);
  std::vector<double> weights;
  for (const Seen& s : seen) {
    std::vector<double> key = KeyOf(layout, chunk, g, s.token);
    Rotate(key, params.rotary_dim, params.rope_theta, s.position);
    weights.push_back(Dot(q, key) * params.scale);
  }
  const double maximum = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - maximum);
  std::vector<double> out(layout.head_dim);
  for (size_t i = 0; i < seen.size(); ++i) {
    const float* value = layout.Values(chunk.pages[seen[i].token / layout.block_size], g) +
                         seen[i].token % layout.block_size * layout.head_dim;
    for (int32_t d = 0; d < layout.head_dim; ++d) out[d] += weights[i] / sum * value[d];
    if (seen[i].span_block >= 0) mass[seen[i].span_block] += weights[i] / sum;
  }
  float* to = static_cast<float*>(params.out) +
              ((chunk.row_begin + row) * params.q_heads + head) * layout.head_dim;
  for (int32_t d = 0; d < layout.head_dim; ++d) to[d] = static_cast<float>(out[d]);
}

}  // namespace

void ReferenceAppendKv(const AppendKvParams& params) {
  const memory::PageLayout& layout = params.layout;
  for (const AttentionChunk& chunk : params.chunks) {
    for (int64_t row = 0; row < chunk.row_count; ++row) {
      const int64_t slot = (chunk.begin + row) % layout.block_size;
      void* page = chunk.pages[(chunk.begin + row) / layout.block_size];
      const int64_t offset = (chunk.row_begin + row) * params.kv_stride;
      for (int32_t g = 0; g < layout.kv_heads; ++g) {
        for (int32_t d = 0; d < layout.head_dim; ++d) {
          const int64_t at = offset + int64_t{g} * layout.head_dim + d;
          layout.Keys(page, g)[int64_t{d} * layout.block_size + slot] =
              static_cast<const float*>(params.k)[at];
          layout.Values(page, g)[slot * layout.head_dim + d] =
              static_cast<const float*>(params.v)[at];
        }
      }
    }
  }
}

void ReferenceRetrieveSpan(const RetrieveSpanParams& params) {
  const memory::PageLayout& layout = params.layout;
  const int32_t group = params.q_heads / layout.kv_heads;
  for (size_t r = 0; r < params.requests.size(); ++r) {
    const RetrievalRequest& request = params.requests[r];
    const AttentionChunk& chunk = params.chunks[request.chunk];
    for (int32_t g = 0; g < layout.kv_heads; ++g) {
      std::vector<std::pair<double, int32_t>> ranked;  // (-relevance, block)
      for (int32_t block = request.first; block < request.last; ++block) {
        double relevance = -std::numeric_limits<double>::infinity();
        for (int64_t t = 0; t < layout.block_size; ++t) {
          const auto key = KeyOf(layout, chunk, g, int64_t{block} * layout.block_size + t);
          for (int64_t row = 0; row < chunk.row_count; ++row) {
            for (int32_t j = 0; j < group; ++j) {
              relevance = std::max(
                  relevance, Dot(key, QueryOf(params.q, params.q_stride, layout,
                                              chunk.row_begin + row, int64_t{g} * group + j)));
            }
          }
        }
        ranked.emplace_back(-relevance, block);
      }
      std::sort(ranked.begin(), ranked.end());
      ranked.resize(std::min<size_t>(ranked.size(), request.span_blocks));
      int32_t* out =
          params.blocks + (static_cast<int64_t>(r) * layout.kv_heads + g) * params.max_span;
      std::fill_n(out, params.max_span, -1);
      for (size_t i = 0; i < ranked.size(); ++i) out[i] = ranked[i].second;
      std::sort(out, out + ranked.size());
    }
  }
}

void ReferenceSpanAttention(const SpanAttentionParams& params) {
  const int32_t group = params.q_heads / params.layout.kv_heads;
  for (const SpanAttentionRequest& request : params.requests) {
    const int64_t rows = params.chunks[request.chunk].row_count;
    for (int32_t g = 0; g < params.layout.kv_heads; ++g) {
      std::vector<double> mass(request.span_count);
      for (int64_t row = 0; row < rows; ++row) {
        for (int32_t j = 0; j < group; ++j) {
          AttendQuery(params, request, row, g * group + j, mass);
        }
      }
      if (request.mass == nullptr) continue;
      for (int32_t i = 0; i < request.span_count; ++i) {
        request.mass[g * request.span_count + i] =
            static_cast<float>(mass[i] / static_cast<double>(rows * group));
      }
    }
  }
}

}  // namespace eidetic
