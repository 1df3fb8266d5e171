// A backend that passes everything on, but can give a session a past without computing it.
//
// What: while it fills, the model's operations do nothing, and AppendKv writes rows of real keys
//   as keys and values. So an engine's appends make a history, with its index, pages and log, in
//   the time that writing it takes. States stay as they were.
// Thread safety: as Backend; Fill while nothing runs. Ownership: owns its rows; borrows the
// backend. Preconditions: bf16 activations where it fills; CHECKed.
#ifndef EIDETIC_TESTS_BENCH_FILLING_BACKEND_H_
#define EIDETIC_TESTS_BENCH_FILLING_BACKEND_H_

#include <cstdint>
#include <deque>

#include "engine/backend/forwarding_backend.h"
#include "tests/bench/real_keys.h"

namespace eidetic::bench {

class FillingBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  ~FillingBackend() override { Drop(); }

  // Keys of a model with such heads; their number is a multiple of every query chunk's.
  void TakeKeys(const RealKeys& keys, int32_t kv_heads, int32_t head_dim);
  // Whether it fills from now on.
  void Fill(bool fill);

  void Embed(const EmbedParams& p) override {
    if (!fills_) backend_->Embed(p);
  }
  void RmsNorm(const RmsNormParams& p) override {
    if (!fills_) backend_->RmsNorm(p);
  }
  void MatMul(const MatMulParams& p) override {
    if (!fills_) backend_->MatMul(p);
  }
  void CausalConv1d(const CausalConv1dParams& p) override {
    if (!fills_) backend_->CausalConv1d(p);
  }
  void SelectiveScan(const SelectiveScanParams& p) override {
    if (!fills_) backend_->SelectiveScan(p);
  }
  void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan) override {
    if (!fills_) backend_->ConvScan(conv, scan);
  }
  void AppendKv(const AppendKvParams& p) override;
  void SpanAttention(const SpanAttentionParams& p) override {
    if (!fills_) backend_->SpanAttention(p);
  }
  void SwiGlu(const SwiGluParams& p) override {
    if (!fills_) backend_->SwiGlu(p);
  }
  void CopyRows(const CopyRowsParams& p) override {
    if (!fills_) backend_->CopyRows(p);
  }
  absl::Status Synchronize() override;

 private:
  void Drop();

  bool fills_ = false;
  void* rows_ = nullptr;  // bf16 [tokens_][width_]
  int64_t tokens_ = 0, width_ = 0;
  std::deque<AttentionChunk> chunks_;  // of the step under way: they keep their addresses
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_FILLING_BACKEND_H_
