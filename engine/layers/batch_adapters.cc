#include "engine/layers/batch_adapters.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "engine/layers/step_batch.h"

namespace eidetic {

void BatchAdapters::Add(int64_t rows, const ModelAdapter* adapter) {
  of_chunk_.push_back(adapter);
  const int64_t begin = std::exchange(rows_, rows_ + rows);
  if (adapter == nullptr) return;
  const bool goes_on = !runs_.empty() && runs_.back().adapter == adapter &&
                       runs_.back().row_begin + runs_.back().row_count == begin;
  if (goes_on) {
    runs_.back().row_count += rows;
  } else {
    runs_.push_back({begin, rows, adapter});
  }
}

std::span<const RowWeights> BatchAdapters::Norms(
    absl::FunctionRef<const Vector*(const ModelAdapter&)> of) {
  if (runs_.empty()) return {};
  std::vector<RowWeights>& norms = norms_.emplace_back();
  for (const Run& run : runs_) {
    const Vector* norm = of(*run.adapter);
    if (norm != nullptr) norms.push_back({run.row_begin, run.row_count, norm->data()});
  }
  return norms;
}

std::span<const ConvWeights> BatchAdapters::Convolutions(int32_t layer, const ConvWeights& base) {
  const auto of = [layer](const ModelAdapter* adapter) -> const LayerAdapter& {
    return adapter->layers[layer];
  };
  const bool any = std::any_of(runs_.begin(), runs_.end(), [&](const Run& run) {
    return of(run.adapter).conv_weight != nullptr || of(run.adapter).conv_bias != nullptr;
  });
  if (!any) return {};
  std::vector<ConvWeights>& weights = convolutions_.emplace_back(of_chunk_.size(), base);
  for (size_t i = 0; i < of_chunk_.size(); ++i) {
    if (of_chunk_[i] == nullptr) continue;
    const LayerAdapter& own = of(of_chunk_[i]);
    if (own.conv_weight != nullptr) weights[i].weight = own.conv_weight->data();
    if (own.conv_bias != nullptr) weights[i].bias = own.conv_bias->data();
  }
  return weights;
}

std::span<const LowRankSegment> BatchAdapters::Deltas(
    absl::FunctionRef<const LowRankDelta*(const ModelAdapter&)> of, float multiplier) {
  if (runs_.empty()) return {};
  std::vector<LowRankSegment>& segments = deltas_.emplace_back();
  for (const Run& run : runs_) {
    const LowRankDelta* delta = of(*run.adapter);
    if (delta == nullptr || delta->a == nullptr) continue;
    segments.push_back({.row_begin = run.row_begin,
                        .row_count = run.row_count,
                        .a = delta->a->data(),
                        .b = delta->b->data(),
                        .rank = delta->rank,
                        .scale = delta->scale * multiplier});
  }
  return segments;
}

void MultiplyAdapted(Backend* backend, const MatMulParams& params,
                     std::span<const RowWeights> norms, std::span<const ProductDelta> deltas,
                     Buffer* normed) {
  const bool changed = std::any_of(deltas.begin(), deltas.end(), [](const ProductDelta& delta) {
    return !delta.segments.empty();
  });
  if (norms.empty() && !changed) return backend->MatMul(params);
  const int64_t cols = params.w->cols();
  MatMulParams plain = params;
  if (params.norm.weight != nullptr) {
    void* out = normed->Ensure(params.rows * cols * backend->activation_bytes());
    backend->RmsNorm({.x = params.x,
                      .x_number = params.x_number,
                      .gate = params.norm.gate,
                      .weight = params.norm.weight,
                      .out = out,
                      .rows = params.rows,
                      .dim = cols,
                      .x_stride = cols,
                      .gate_stride = params.norm.gate_stride,
                      .eps = params.norm.eps,
                      .own = norms});
    plain.x = out;
    plain.x_number = Number::kActivation;
    plain.norm = {};
  }
  backend->MatMul(plain);
  const size_t element =
      params.out_number == Number::kFloat32 ? sizeof(float) : backend->activation_bytes();
  for (const ProductDelta& delta : deltas) {
    if (delta.segments.empty()) continue;
    backend->LowRank({.x = plain.x,
                      .cols = cols,
                      .segments = delta.segments,
                      .out = Offset(params.out, delta.begin, element),
                      .out_number = params.out_number,
                      .outputs = delta.count,
                      .out_stride = params.w->rows()});
  }
}

}  // namespace eidetic
