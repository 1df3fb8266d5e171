// The narrow interface between the model and what computes it.
//
// What: storage plus coarse operations on plain params structs. Only what every
//   implementation has stands here; cpu/ and cuda/ implement it.
// Thread safety: operations are called from one thread at a time, in order; the
//   implementation may run them asynchronously, in that order. arena() is
//   thread-safe. Host spans inside params must stay valid until Synchronize.
// Ownership: tensors are borrowed; matrices and vectors are owned by the caller.
// Preconditions: as params.h says. Shapes are CHECKed once, at the operation's entry.
//
// Invariance: on the CPU a row's result depends on that row's inputs alone,
// bitwise: never on T, on the other rows, or on the number of threads.
#ifndef EIDETIC_ENGINE_BACKEND_BACKEND_H_
#define EIDETIC_ENGINE_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/backend/params.h"
#include "engine/model/safetensors.h"
#include "memory/arena.h"
#include "memory/block_indexer.h"

namespace eidetic {

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // "cpu (avx3, 2 threads)"
  // What results depend on in their bits: those of one build and kind are equal.
  virtual std::string device_kind() const { return name(); }
  // How it lays out pages and tiles: who has another can not read them.
  virtual std::string page_form() const { return "host"; }
  virtual memory::Arena* arena() = 0;
  // Pinned host memory that operations read in place; null where there is none.
  virtual memory::Arena* host_arena() { return nullptr; }
  virtual memory::BlockIndexer* indexer() = 0;
  virtual size_t activation_bytes() const = 0;
  virtual int32_t kv_element_bytes() const = 0;                       // of a number in a page
  virtual size_t ssm_element_bytes() const { return sizeof(float); }  // of a number in an SSM state
  // What the two-stage rule bounds blocks by.
  virtual memory::SummaryKind bounding() const { return memory::SummaryKind::kBounds; }

  // Uploads weights; converts where the backend's form differs. The view may go afterwards.
  virtual absl::StatusOr<std::unique_ptr<Matrix>> LoadMatrix(const TensorView& view) = 0;
  // Several matrices with the same number of columns, stacked by rows into one.
  virtual absl::StatusOr<std::unique_ptr<Matrix>> LoadStacked(
      std::span<const TensorView> views) = 0;
  virtual absl::StatusOr<std::unique_ptr<Vector>> LoadVector(const TensorView& view) = 0;

  virtual void Embed(const EmbedParams& params) = 0;
  virtual void RmsNorm(const RmsNormParams& params) = 0;
  virtual void MatMul(const MatMulParams& params) = 0;
  virtual void LowRank(const LowRankParams& params) = 0;
  virtual void CausalConv1d(const CausalConv1dParams& params) = 0;
  virtual void SelectiveScan(const SelectiveScanParams& params) = 0;
  // Both in turn; scan.xbc is conv.out, which need not be written.
  virtual void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan) {
    CausalConv1d(conv);
    SelectiveScan(scan);
  }
  virtual void AppendKv(const AppendKvParams& params) = 0;
  virtual void RetrieveSpan(const RetrieveSpanParams& params) = 0;
  // Whether RetrieveSpan tells which blocks it wants that have no page; else all have one.
  virtual bool finds_late_pages() const { return false; }
  virtual void SpanAttention(const SpanAttentionParams& params) = 0;
  virtual void SwiGlu(const SwiGluParams& params) = 0;
  virtual void CopyRows(const CopyRowsParams& params) = 0;
  virtual void SampleTokens(const SampleTokensParams& params) = 0;
  virtual void ScoreTokens(const ScoreTokensParams& params) = 0;

  // Copies to host memory once everything before it has finished; blocks.
  virtual void CopyToHost(void* to, const void* from, size_t bytes) = 0;
  // Waits until everything before it has finished. UNAVAILABLE when the device was lost:
  // then, and from then on, results are garbage and must not be published.
  virtual absl::Status Synchronize() = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_BACKEND_H_
