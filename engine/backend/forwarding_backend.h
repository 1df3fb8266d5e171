// A backend that passes everything on: a base for those that watch or change something.
//
// Thread safety: as Backend. Ownership: borrows the backend that does the work.
// Preconditions: as Backend.
#ifndef EIDETIC_ENGINE_BACKEND_FORWARDING_BACKEND_H_
#define EIDETIC_ENGINE_BACKEND_FORWARDING_BACKEND_H_

#include <memory>
#include <span>
#include <string>

#include "engine/backend/backend.h"

namespace eidetic {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(Backend* backend) : backend_(backend) {}

  std::string name() const override { return backend_->name(); }
  std::string device_kind() const override { return backend_->device_kind(); }
  std::string page_form() const override { return backend_->page_form(); }
  memory::Arena* arena() override { return backend_->arena(); }
  memory::Arena* host_arena() override { return backend_->host_arena(); }
  memory::BlockIndexer* indexer() override { return backend_->indexer(); }
  size_t activation_bytes() const override { return backend_->activation_bytes(); }
  int32_t kv_element_bytes() const override { return backend_->kv_element_bytes(); }
  size_t ssm_element_bytes() const override { return backend_->ssm_element_bytes(); }
  bool finds_late_pages() const override { return backend_->finds_late_pages(); }
  memory::SummaryKind bounding() const override { return backend_->bounding(); }
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
  void LowRank(const LowRankParams& p) override { backend_->LowRank(p); }
  void CausalConv1d(const CausalConv1dParams& p) override { backend_->CausalConv1d(p); }
  void SelectiveScan(const SelectiveScanParams& p) override { backend_->SelectiveScan(p); }
  void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan) override {
    backend_->ConvScan(conv, scan);
  }
  void AppendKv(const AppendKvParams& p) override { backend_->AppendKv(p); }
  void RetrieveSpan(const RetrieveSpanParams& p) override { backend_->RetrieveSpan(p); }
  void SpanAttention(const SpanAttentionParams& p) override { backend_->SpanAttention(p); }
  void SwiGlu(const SwiGluParams& p) override { backend_->SwiGlu(p); }
  void CopyRows(const CopyRowsParams& p) override { backend_->CopyRows(p); }
  void SampleTokens(const SampleTokensParams& p) override { backend_->SampleTokens(p); }
  void ScoreTokens(const ScoreTokensParams& p) override { backend_->ScoreTokens(p); }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    backend_->CopyToHost(to, from, bytes);
  }
  absl::Status Synchronize() override { return backend_->Synchronize(); }

 protected:
  Backend* const backend_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_FORWARDING_BACKEND_H_
