// A backend that passes everything on, but asks the index recorded queries.
//
// What: a model of random weights asks nothing sensible; with Replay set, RetrieveSpan of decode
//   rows is given queries of real text instead of the model's own.
// Thread safety: as Backend. Ownership: owns its query buffer; borrows backend, keys and hits.
// Preconditions: bf16 activations when Replay is set.
#ifndef EIDETIC_TESTS_BENCH_REPLAY_BACKEND_H_
#define EIDETIC_TESTS_BENCH_REPLAY_BACKEND_H_

#include <glog/logging.h>

#include <vector>

#include "engine/backend/forwarding_backend.h"
#include "tests/bench/choice_hits.h"
#include "tests/bench/real_keys.h"

namespace eidetic::bench {

class ReplayBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  ~ReplayBackend() override { Drop(); }

  // From now on; `keys` outlives this.
  void Replay(const RealKeys* keys) { keys_ = keys; }
  // Every sequence asks the next recorded step.
  void NextStep(int64_t rows, int32_t q_heads, int32_t head_dim) {
    if (keys_ == nullptr) return;
    const int64_t width = int64_t{q_heads} * head_dim;
    std::vector<memory::Bf16> queries(rows * width);
    for (int64_t r = 0; r < rows; ++r) {
      keys_->QueryRow(step_ + r, q_heads, head_dim, queries.data() + r * width);
    }
    ++step_;
    const size_t bytes = queries.size() * sizeof(memory::Bf16);
    if (bytes > bytes_) {
      Drop();
      auto buffer = backend_->arena()->Allocate(bytes);
      CHECK(buffer.ok()) << buffer.status();
      queries_ = *buffer;
      bytes_ = bytes;
    }
    backend_->arena()->CopyFromHost(queries_, queries.data(), bytes);
  }

  // While `hits` is set it counts every choice of spans, which takes long.
  void CountHits(ChoiceHits* hits) { hits_ = hits; }
  // What does the work.
  Backend* backend() const { return backend_; }

  void RetrieveSpan(const RetrieveSpanParams& params) override {
    RetrieveSpanParams replayed = params;
    if (keys_ != nullptr) {
      replayed.q = queries_;
      replayed.q_stride = int64_t{params.q_heads} * params.layout.head_dim;
    }
    backend_->RetrieveSpan(replayed);
    if (hits_ != nullptr) hits_->Count(replayed);
  }

 private:
  void Drop() {
    if (queries_ != nullptr) backend_->arena()->Free(queries_, bytes_);
    queries_ = nullptr;
  }

  const RealKeys* keys_ = nullptr;
  ChoiceHits* hits_ = nullptr;
  void* queries_ = nullptr;  // [rows, q_heads * head_dim]
  size_t bytes_ = 0;
  int64_t step_ = 0;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_REPLAY_BACKEND_H_
