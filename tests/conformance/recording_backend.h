// A backend that passes everything on and keeps the logits it sees.
//
// Thread safety: as Backend. Ownership: borrows the backend that does the work.
// Preconditions: as Backend.
#ifndef EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_
#define EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_

#include <utility>
#include <vector>

#include "engine/backend/forwarding_backend.h"

namespace eidetic {

class RecordingBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  // The logits rows of every SampleTokens and ScoreTokens since the last call, in order.
  std::vector<std::vector<float>> TakeLogits() { return std::exchange(logits_, {}); }

  void SampleTokens(const SampleTokensParams& p) override {
    Keep(p.logits, p.rows.size(), p.vocab);
    backend_->SampleTokens(p);
  }
  void ScoreTokens(const ScoreTokensParams& p) override {
    Keep(p.logits, p.targets.size(), p.vocab);
    backend_->ScoreTokens(p);
  }

 private:
  void Keep(const float* logits, size_t rows, int64_t vocab) {
    for (size_t r = 0; r < rows; ++r) {
      std::vector<float>& row = logits_.emplace_back(vocab);
      backend_->CopyToHost(row.data(), logits + r * vocab, vocab * sizeof(float));
    }
  }

  std::vector<std::vector<float>> logits_;
};

}  // namespace eidetic

#endif  // EIDETIC_TESTS_CONFORMANCE_RECORDING_BACKEND_H_
