// A backend that passes everything on and keeps what one attention layer appends and asks.
//
// Thread safety: as Backend. Ownership: borrows the backend that does the work.
// Preconditions: bf16 activations; one sequence a step.
#ifndef EIDETIC_TESTS_BENCH_CAPTURING_BACKEND_H_
#define EIDETIC_TESTS_BENCH_CAPTURING_BACKEND_H_

#include <utility>
#include <vector>

#include "engine/backend/forwarding_backend.h"
#include "memory/bf16.h"

namespace eidetic::bench {

class CapturingBackend final : public ForwardingBackend {
 public:
  // Of the `layer`-th attention layer; widths of a row of queries and of keys.
  CapturingBackend(Backend* backend, int32_t layer, int64_t query_width, int64_t key_width)
      : ForwardingBackend(backend),
        layer_(layer),
        query_width_(query_width),
        key_width_(key_width) {}

  std::vector<memory::Bf16> TakeKeys() { return std::exchange(keys_, {}); }
  std::vector<memory::Bf16> TakeQueries() { return std::exchange(queries_, {}); }

  void Embed(const EmbedParams& params) override {
    next_layer_ = 0;  // a step begins
    backend_->Embed(params);
  }
  void AppendKv(const AppendKvParams& params) override {
    if (next_layer_++ == layer_) {
      Keep(params.k, params.kv_stride, key_width_, params.chunks[0].row_count, &keys_);
    }
    backend_->AppendKv(params);
  }
  void RetrieveSpan(const RetrieveSpanParams& params) override {
    Keep(params.q, params.q_stride, query_width_, 1, &queries_);
    backend_->RetrieveSpan(params);
  }

 private:
  void Keep(const void* from, int64_t stride, int64_t width, int64_t rows,
            std::vector<memory::Bf16>* to) {
    // The last row ends before its stride does.
    std::vector<memory::Bf16> block((rows - 1) * stride + width);
    backend_->CopyToHost(block.data(), from, block.size() * sizeof(memory::Bf16));
    for (int64_t r = 0; r < rows; ++r) {
      to->insert(to->end(), block.begin() + r * stride, block.begin() + r * stride + width);
    }
  }

  const int32_t layer_;
  const int64_t query_width_, key_width_;
  int32_t next_layer_ = 0;
  std::vector<memory::Bf16> keys_, queries_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_CAPTURING_BACKEND_H_
