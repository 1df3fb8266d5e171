// The naive form of each operation; see reference_backend.h.
//
// Thread safety: pure functions of their params. Ownership: none.
// Preconditions: as the params say; matrices are ReferenceMatrix.
#ifndef EIDETIC_ENGINE_BACKEND_REFERENCE_OPS_H_
#define EIDETIC_ENGINE_BACKEND_REFERENCE_OPS_H_

#include <utility>
#include <vector>

#include "engine/backend/backend.h"

namespace eidetic {

class ReferenceMatrix : public Matrix {
 public:
  ReferenceMatrix(int64_t cols, std::vector<double> values)
      : cols_(cols), values_(std::move(values)) {}
  int64_t rows() const override { return static_cast<int64_t>(values_.size()) / cols_; }
  int64_t cols() const override { return cols_; }
  double At(int64_t row, int64_t col) const { return values_[row * cols_ + col]; }

 private:
  int64_t cols_;
  std::vector<double> values_;  // [rows][cols]
};

void ReferenceEmbed(const EmbedParams& params);
void ReferenceRmsNorm(const RmsNormParams& params);
void ReferenceMatMul(const MatMulParams& params);
void ReferenceLowRank(const LowRankParams& params);
void ReferenceCausalConv1d(const CausalConv1dParams& params);
void ReferenceSelectiveScan(const SelectiveScanParams& params);
void ReferenceSwiGlu(const SwiGluParams& params);
// reference_attention.cc. AppendKv leaves the index alone: retrieval reads the keys.
void ReferenceAppendKv(const AppendKvParams& params);
void ReferenceRetrieveSpan(const RetrieveSpanParams& params);
void ReferenceSpanAttention(const SpanAttentionParams& params);
// reference_sampling.cc
void ReferenceSampleTokens(const SampleTokensParams& params);
void ReferenceScoreTokens(const ScoreTokensParams& params);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_REFERENCE_OPS_H_
