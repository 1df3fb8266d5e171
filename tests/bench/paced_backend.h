// A device that takes as long a step as it is told, and no processor.
//
// What: stands for a GPU where what is measured is the engine around it. Operations are let go
//   unseen; Synchronize returns when the step's time, counted from its first operation, is over.
//   What a step samples is one fixed token, what it retrieves is block 0: answers mean nothing.
// Thread safety: as Backend. Ownership: borrows the backend that gives storage.
// Preconditions: as Backend.
#ifndef EIDETIC_TESTS_BENCH_PACED_BACKEND_H_
#define EIDETIC_TESTS_BENCH_PACED_BACKEND_H_

#include <cstring>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/backend/forwarding_backend.h"

namespace eidetic::bench {

class PacedBackend final : public ForwardingBackend {
 public:
  PacedBackend(Backend* storage, absl::Duration step) : ForwardingBackend(storage), step_(step) {}

  std::string name() const override { return "paced"; }
  void Embed(const EmbedParams&) override { Begin(); }
  void RmsNorm(const RmsNormParams&) override {}
  void MatMul(const MatMulParams&) override {}
  void LowRank(const LowRankParams&) override {}
  void CausalConv1d(const CausalConv1dParams&) override {}
  void SelectiveScan(const SelectiveScanParams&) override {}
  void ConvScan(const CausalConv1dParams&, const SelectiveScanParams&) override {}
  void AppendKv(const AppendKvParams&) override {}
  void RetrieveSpan(const RetrieveSpanParams&) override {}
  void SpanAttention(const SpanAttentionParams&) override {}
  void SwiGlu(const SwiGluParams&) override {}
  void CopyRows(const CopyRowsParams&) override { Begin(); }
  void SampleTokens(const SampleTokensParams& p) override {
    for (SampledToken& out : p.out) out = {.token = kToken, .logprob = -1, .top = {}};
  }
  void ScoreTokens(const ScoreTokensParams& p) override {
    for (size_t r = 0; r < p.out.size(); ++r)
      p.out[r] = {.token = p.targets[r], .logprob = -1, .top = {}};
  }
  // Zeros: what retrieved chose block 0, and drew nothing from it.
  void CopyToHost(void* to, const void*, size_t bytes) override { std::memset(to, 0, bytes); }
  absl::Status Synchronize() override {
    if (begun_ != absl::InfinitePast()) absl::SleepFor(begun_ + step_ - absl::Now());
    begun_ = absl::InfinitePast();
    return absl::OkStatus();
  }

 private:
  static constexpr memory::TokenId kToken = 100;
  void Begin() {
    if (begun_ == absl::InfinitePast()) begun_ = absl::Now();
  }

  const absl::Duration step_;
  absl::Time begun_ = absl::InfinitePast();  // the step under way; none
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_PACED_BACKEND_H_
