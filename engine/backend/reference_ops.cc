#include "engine/backend/reference_ops.h"

#include <algorithm>
#include <cmath>

namespace eidetic {
namespace {

double Silu(double x) { return x / (1 + std::exp(-x)); }

const float* Row(const void* base, int64_t row, int64_t stride) {
  return static_cast<const float*>(base) + row * stride;
}
float* Row(void* base, int64_t row, int64_t stride) {
  return static_cast<float*>(base) + row * stride;
}

}  // namespace

void ReferenceEmbed(const EmbedParams& params) {
  const auto& table = static_cast<const ReferenceMatrix&>(*params.table);
  for (size_t row = 0; row < params.ids.size(); ++row) {
    float* out = Row(params.out, row, table.cols());
    for (int64_t i = 0; i < table.cols(); ++i) {
      out[i] = static_cast<float>(table.At(params.ids[row], i) * params.multiplier);
    }
  }
}

namespace {

const float* NormWeight(const RmsNormParams& params, int64_t row) {
  for (const RowWeights& own : params.own) {
    if (row >= own.row_begin && row < own.row_begin + own.row_count) return own.weight;
  }
  return params.weight;
}

}  // namespace

void ReferenceRmsNorm(const RmsNormParams& params) {
  for (int64_t row = 0; row < params.rows; ++row) {
    std::vector<double> values(params.dim);
    double squares = 0;
    for (int64_t i = 0; i < params.dim; ++i) {
      values[i] = Row(params.x, row, params.x_stride)[i];
      if (params.gate != nullptr) values[i] *= Silu(Row(params.gate, row, params.gate_stride)[i]);
      squares += values[i] * values[i];
    }
    const double rms = std::sqrt(squares / params.dim + params.eps);
    const float* weight = NormWeight(params, row);
    for (int64_t i = 0; i < params.dim; ++i) {
      Row(params.out, row, params.dim)[i] = static_cast<float>(values[i] / rms * weight[i]);
    }
  }
}

void ReferenceMatMul(const MatMulParams& params) {
  const auto& w = static_cast<const ReferenceMatrix&>(*params.w);
  for (int64_t row = 0; row < params.rows; ++row) {
    for (int64_t o = 0; o < w.rows(); ++o) {
      double sum = params.bias == nullptr ? 0 : params.bias[o];
      for (int64_t k = 0; k < w.cols(); ++k) sum += Row(params.x, row, w.cols())[k] * w.At(o, k);
      float& out = Row(params.out, row, w.rows())[o];
      out = static_cast<float>(params.multiplier * sum + (params.accumulate ? out : 0.0));
    }
  }
}

void ReferenceLowRank(const LowRankParams& params) {
  for (const LowRankSegment& segment : params.segments) {
    for (int64_t row = segment.row_begin; row < segment.row_begin + segment.row_count; ++row) {
      std::vector<double> inner(segment.rank);
      for (int64_t r = 0; r < segment.rank; ++r) {
        for (int64_t k = 0; k < params.cols; ++k) {
          inner[r] += double{segment.a[r * params.cols + k]} * Row(params.x, row, params.cols)[k];
        }
      }
      for (int64_t o = 0; o < params.outputs; ++o) {
        double sum = 0;
        for (int64_t r = 0; r < segment.rank; ++r) {
          sum += inner[r] * segment.b[r * params.outputs + o];
        }
        float& out = Row(params.out, row, params.out_stride)[o];
        out = static_cast<float>(out + segment.scale * sum);
      }
    }
  }
}

void ReferenceCausalConv1d(const CausalConv1dParams& params) {
  const int64_t history = params.width - 1;
  for (size_t i = 0; i < params.sequences.size(); ++i) {
    const StateSpan& sequence = params.sequences[i];
    const ConvWeights weights = WeightsOf(params, i);
    // The state, then the rows: input j of token t is number t + j.
    std::vector<std::vector<float>> inputs;
    for (int64_t j = 0; j < history; ++j) {
      const float* state = Row(StateIn(sequence, params.state_offset), j, params.channels);
      inputs.emplace_back(state, state + params.channels);
    }
    for (int64_t t = 0; t < sequence.row_count; ++t) {
      const float* x = Row(params.x, sequence.row_begin + t, params.x_stride);
      inputs.emplace_back(x, x + params.channels);
    }
    for (int64_t t = 0; t < sequence.row_count; ++t) {
      for (int64_t c = 0; c < params.channels; ++c) {
        double sum = weights.bias == nullptr ? 0 : weights.bias[c];
        for (int64_t j = 0; j < params.width; ++j) {
          sum += double{weights.weight[c * params.width + j]} * inputs[t + j][c];
        }
        Row(params.out, sequence.row_begin + t, params.channels)[c] =
            static_cast<float>(params.silu ? Silu(sum) : sum);
      }
    }
    for (int64_t j = 0; j < history; ++j) {
      std::copy(inputs[sequence.row_count + j].begin(), inputs[sequence.row_count + j].end(),
                Row(StateOut(sequence, params.state_offset), j, params.channels));
    }
  }
}

namespace {

void ScanHead(const SelectiveScanParams& params, const StateSpan& sequence, int32_t head) {
  const int64_t inner = int64_t{params.heads} * params.head_dim;
  const int64_t width = inner + 2 * int64_t{params.groups} * params.d_state;
  const int64_t group = head / (params.heads / params.groups);
  const int64_t size = int64_t{params.head_dim} * params.d_state;
  const float* state = StateIn(sequence, params.state_offset) + head * size;
  std::vector<double> h(state, state + size);
  for (int64_t row = sequence.row_begin; row < sequence.row_begin + sequence.row_count; ++row) {
    const float* x = Row(params.xbc, row, width) + int64_t{head} * params.head_dim;
    const float* b = Row(params.xbc, row, width) + inner + group * params.d_state;
    const float* c = b + int64_t{params.groups} * params.d_state;
    const double raw = double{Row(params.dt, row, params.dt_stride)[head]} + params.dt_bias[head];
    const double softplus = raw > 20 ? raw : std::log1p(std::exp(raw));
    const double dt = std::clamp<double>(softplus, params.dt_min, params.dt_max);
    const double decay = std::exp(-std::exp(double{params.a_log[head]}) * dt);
    for (int64_t p = 0; p < params.head_dim; ++p) {
      double y = double{params.d[head]} * x[p];
      for (int64_t n = 0; n < params.d_state; ++n) {
        double& cell = h[p * params.d_state + n];
        cell = decay * cell + dt * x[p] * b[n];
        y += cell * c[n];
      }
      Row(params.out, row, inner)[int64_t{head} * params.head_dim + p] = static_cast<float>(y);
    }
  }
  float* out = StateOut(sequence, params.state_offset) + head * size;
  for (int64_t i = 0; i < size; ++i) out[i] = static_cast<float>(h[i]);
}

}  // namespace

void ReferenceSelectiveScan(const SelectiveScanParams& params) {
  for (const StateSpan& sequence : params.sequences) {
    for (int32_t head = 0; head < params.heads; ++head) ScanHead(params, sequence, head);
  }
}

void ReferenceSwiGlu(const SwiGluParams& params) {
  for (int64_t row = 0; row < params.rows; ++row) {
    for (int64_t i = 0; i < params.dim; ++i) {
      Row(params.out, row, params.dim)[i] =
          static_cast<float>(Silu(Row(params.gate, row, params.gate_stride)[i]) *
                             Row(params.up, row, params.up_stride)[i]);
    }
  }
}

}  // namespace eidetic
