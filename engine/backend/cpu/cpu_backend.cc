#include "engine/backend/cpu/cpu_backend.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/append_kv.h"
#include "engine/backend/cpu/causal_conv1d.h"
#include "engine/backend/cpu/embed.h"
#include "engine/backend/cpu/low_rank.h"
#include "engine/backend/cpu/mat_mul.h"
#include "engine/backend/cpu/packed_matrix.h"
#include "engine/backend/cpu/retrieve_span.h"
#include "engine/backend/cpu/rms_norm.h"
#include "engine/backend/cpu/sample_tokens.h"
#include "engine/backend/cpu/selective_scan.h"
#include "engine/backend/cpu/simd_target.h"
#include "engine/backend/cpu/span_attention.h"
#include "engine/backend/cpu/swi_glu.h"
#include "engine/backend/cpu/thread_pool.h"
#include "engine/backend/host_mat_mul.h"
#include "engine/backend/param_checks.h"
#include "memory/host_arena.h"
#include "memory/host_indexer.h"

namespace eidetic {
namespace {

int ThreadCount(const CpuBackendOptions& options) {
  if (options.threads > 0) return options.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options)
      : arena_(options.memory_bytes),
        pool_(ThreadCount(options)),
        retrieval_scratch_(pool_.threads()),
        attention_scratch_(pool_.threads()),
        sampling_scratch_(pool_.threads()) {}

  std::string name() const override {
    return absl::StrCat("cpu (", absl::AsciiStrToLower(cpu::SimdTargetName()), ", ",
                        pool_.threads(), pool_.threads() == 1 ? " thread)" : " threads)");
  }
  std::string device_kind() const override {
    return absl::StrCat("cpu ", absl::AsciiStrToLower(cpu::SimdTargetName()));
  }
  memory::Arena* arena() override { return &arena_; }
  memory::BlockIndexer* indexer() override { return &indexer_; }
  size_t activation_bytes() const override { return sizeof(float); }
  int32_t kv_element_bytes() const override { return sizeof(float); }
  bool finds_late_pages() const override { return true; }

  absl::StatusOr<std::unique_ptr<Matrix>> LoadMatrix(const TensorView& view) override {
    return LoadStacked({&view, 1});
  }
  absl::StatusOr<std::unique_ptr<Matrix>> LoadStacked(std::span<const TensorView> views) override {
    return cpu::PackedMatrix::Pack(views, &arena_, &pool_);
  }
  absl::StatusOr<std::unique_ptr<Vector>> LoadVector(const TensorView& view) override {
    return cpu::HostVector::Load(view, &arena_);
  }

  void Embed(const EmbedParams& params) override {
    CheckParams(params);
    cpu::Embed(params, &pool_);
  }
  void RmsNorm(const RmsNormParams& params) override {
    CheckParams(params);
    cpu::RmsNorm(params, &pool_);
  }
  void MatMul(const MatMulParams& params) override {
    CheckParams(params);
    mat_mul_.Run(this, params, [this](const MatMulParams& plain) { cpu::MatMul(plain, &pool_); });
  }
  void LowRank(const LowRankParams& params) override {
    CheckParams(params);
    cpu::LowRank(params, &pool_);
  }
  void CausalConv1d(const CausalConv1dParams& params) override {
    CheckParams(params);
    cpu::CausalConv1d(params, &pool_);
  }
  void SelectiveScan(const SelectiveScanParams& params) override {
    CheckParams(params);
    cpu::SelectiveScan(params, &pool_);
  }
  void AppendKv(const AppendKvParams& params) override {
    CheckParams(params);
    cpu::AppendKv(params, &pool_);
  }
  void RetrieveSpan(const RetrieveSpanParams& params) override {
    CheckParams(params);
    cpu::RetrieveSpan(params, &retrieval_scratch_, &pool_);
  }
  void SpanAttention(const SpanAttentionParams& params) override {
    CheckParams(params);
    cpu::SpanAttention(params, RopeFor(params), &attention_scratch_, &pool_);
  }
  void SwiGlu(const SwiGluParams& params) override {
    CheckParams(params);
    cpu::SwiGlu(params, &pool_);
  }
  void CopyRows(const CopyRowsParams& params) override {
    CheckParams(params);
    for (size_t i = 0; i < params.from.size(); ++i) {
      std::memcpy(params.to[i], params.from[i], params.row_bytes);
    }
  }
  void SampleTokens(const SampleTokensParams& params) override {
    CheckParams(params);
    cpu::SampleTokens(params, &sampling_scratch_, &pool_);
  }
  void ScoreTokens(const ScoreTokensParams& params) override {
    CheckParams(params);
    cpu::ScoreTokens(params, &sampling_scratch_, &pool_);
  }

  void CopyToHost(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  // Every operation has finished when it returns.
  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  // One table: all attention layers of a model turn alike.
  cpu::RopeTable* RopeFor(const SpanAttentionParams& params) {
    if (rope_ == nullptr || rope_->rotary_dim() != params.rotary_dim ||
        rope_->theta() != params.rope_theta) {
      rope_ = std::make_unique<cpu::RopeTable>(params.rotary_dim, params.rope_theta);
    }
    return rope_.get();
  }

  memory::HostArena arena_;
  memory::HostIndexer indexer_;
  cpu::ThreadPool pool_;
  HostMatMul mat_mul_;
  std::unique_ptr<cpu::RopeTable> rope_;
  std::vector<cpu::RetrievalScratch> retrieval_scratch_;  // one a thread, as those below
  std::vector<cpu::AttentionScratch> attention_scratch_;
  std::vector<cpu::SamplingScratch> sampling_scratch_;
};

}  // namespace

std::unique_ptr<Backend> CreateCpuBackend(const CpuBackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace eidetic
