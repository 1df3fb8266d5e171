// A backend that passes everything on and keeps the logits it sees.
//
// Thread safety: as Backend. Ownership: borrows the backend that does the work.
// Preconditions: float32 activations (the CPU backend).
#ifndef EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_
#define EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend/backend.h"

namespace eidetic {

class RecordingBackend final : public Backend {
 public:
  explicit RecordingBackend(Backend* backend) : backend_(backend) {}

  // The logits rows of every SampleTokens and ScoreTokens since the last call, in order.
  std::vector<std::vector<float>> TakeLogits() { return std::exchange(logits_, {}); }

  std::string name() const override { return backend_->name(); }
  memory::Arena* arena() override { return backend_->arena(); }
  size_t activation_bytes() const override { return backend_->activation_bytes(); }
  absl::StatusOr<std::unique_ptr<Matrix>> LoadMatrix(const TensorView& view) override {
    return backend_->LoadMatrix(view);
  }
  absl::StatusOr<std::unique_ptr<Matrix>> LoadStacked(std::span<const TensorView> views) override {
    return backend_->LoadStacked(views);
  }
  absl::StatusOr<std::unique_ptr<Vector>> LoadVector(const TensorView& view) override {
    return backend_->LoadVector(view);
  }
  void Embed(const EmbedParams& p) override { backend_->Embed(p); }
  void RmsNorm(const RmsNormParams& p) override { backend_->RmsNorm(p); }
  void MatMul(const MatMulParams& p) override { backend_->MatMul(p); }
  void CausalConv1d(const CausalConv1dParams& p) override { backend_->CausalConv1d(p); }
  void SelectiveScan(const SelectiveScanParams& p) override { backend_->SelectiveScan(p); }
  void AppendKv(const AppendKvParams& p) override { backend_->AppendKv(p); }
  void RetrieveSpan(const RetrieveSpanParams& p) override { backend_->RetrieveSpan(p); }
  void SpanAttention(const SpanAttentionParams& p) override { backend_->SpanAttention(p); }
  void SwiGlu(const SwiGluParams& p) override { backend_->SwiGlu(p); }
  void CopyRows(const CopyRowsParams& p) override { backend_->CopyRows(p); }
  void SampleTokens(const SampleTokensParams& p) override {
    Keep(p.logits, p.rows.size(), p.vocab);
    backend_->SampleTokens(p);
  }
  void ScoreTokens(const ScoreTokensParams& p) override {
    Keep(p.logits, p.targets.size(), p.vocab);
    backend_->ScoreTokens(p);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    backend_->CopyToHost(to, from, bytes);
  }
  void Synchronize() override { backend_->Synchronize(); }

 private:
  void Keep(const void* logits, size_t rows, int64_t vocab) {
    for (size_t r = 0; r < rows; ++r) {
      std::vector<float>& row = logits_.emplace_back(vocab);
      backend_->CopyToHost(row.data(), static_cast<const float*>(logits) + r * vocab,
                           vocab * sizeof(float));
    }
  }

  Backend* backend_;
  std::vector<std::vector<float>> logits_;
};

}  // namespace eidetic

#endif  // EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_
