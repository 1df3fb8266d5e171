#include "engine/backend/reference_backend.h"

#include <cstring>
#include <vector>

#include "engine/backend/element.h"
#include "engine/backend/host_mat_mul.h"
#include "engine/backend/param_checks.h"
#include "engine/backend/reference_ops.h"
#include "memory/host_arena.h"
#include "memory/host_indexer.h"

namespace eidetic {
namespace {

constexpr size_t kMemoryBytes = size_t{4} << 30;

class ReferenceVector : public Vector {
 public:
  explicit ReferenceVector(std::vector<float> values) : values_(std::move(values)) {}
  const float* data() const override { return values_.data(); }
  int64_t size() const override { return static_cast<int64_t>(values_.size()); }

 private:
  std::vector<float> values_;
};

int64_t ElementCount(const TensorView& view) {
  return static_cast<int64_t>(view.data.size() / DTypeBytes(view.dtype));
}

class ReferenceBackend : public Backend {
 public:
  std::string name() const override { return "reference"; }
  memory::Arena* arena() override { return &arena_; }
  memory::BlockIndexer* indexer() override { return &indexer_; }
  size_t activation_bytes() const override { return sizeof(float); }
  int32_t kv_element_bytes() const override { return sizeof(float); }

  absl::StatusOr<std::unique_ptr<Matrix>> LoadMatrix(const TensorView& view) override {
    return LoadStacked({&view, 1});
  }
  absl::StatusOr<std::unique_ptr<Matrix>> LoadStacked(std::span<const TensorView> views) override {
    std::vector<double> values;
    for (const TensorView& view : views) {
      for (int64_t i = 0; i < ElementCount(view); ++i) values.push_back(ReadElement(view, i));
    }
    return std::make_unique<ReferenceMatrix>(views[0].shape[1], std::move(values));
  }
  absl::StatusOr<std::unique_ptr<Vector>> LoadVector(const TensorView& view) override {
    std::vector<float> values;
    for (int64_t i = 0; i < ElementCount(view); ++i) values.push_back(ReadElement(view, i));
    return std::make_unique<ReferenceVector>(std::move(values));
  }

  void Embed(const EmbedParams& params) override { Checked(ReferenceEmbed, params); }
  void RmsNorm(const RmsNormParams& params) override { Checked(ReferenceRmsNorm, params); }
  void MatMul(const MatMulParams& params) override {
    CheckParams(params);
    mat_mul_.Run(this, params, ReferenceMatMul);
  }
  void LowRank(const LowRankParams& params) override { Checked(ReferenceLowRank, params); }
  void CausalConv1d(const CausalConv1dParams& params) override {
    Checked(ReferenceCausalConv1d, params);
  }
  void SelectiveScan(const SelectiveScanParams& params) override {
    Checked(ReferenceSelectiveScan, params);
  }
  void AppendKv(const AppendKvParams& params) override { Checked(ReferenceAppendKv, params); }
  void RetrieveSpan(const RetrieveSpanParams& params) override {
    Checked(ReferenceRetrieveSpan, params);
  }
  void SpanAttention(const SpanAttentionParams& params) override {
    Checked(ReferenceSpanAttention, params);
  }
  void SwiGlu(const SwiGluParams& params) override { Checked(ReferenceSwiGlu, params); }
  void CopyRows(const CopyRowsParams& params) override {
    CheckParams(params);
    for (size_t i = 0; i < params.from.size(); ++i) {
      std::memcpy(params.to[i], params.from[i], params.row_bytes);
    }
  }
  void SampleTokens(const SampleTokensParams& params) override {
    Checked(ReferenceSampleTokens, params);
  }
  void ScoreTokens(const ScoreTokensParams& params) override {
    Checked(ReferenceScoreTokens, params);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  template <class Params>
  static void Checked(void (*op)(const Params&), const Params& params) {
    CheckParams(params);
    op(params);
  }

  memory::HostArena arena_{kMemoryBytes};
  memory::HostIndexer indexer_;
  HostMatMul mat_mul_;
};

}  // namespace

std::unique_ptr<Backend> CreateReferenceBackend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace eidetic
