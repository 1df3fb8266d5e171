// The CUDA backend: every operation of Backend, recorded and started step by step.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <glog/logging.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "engine/backend/cuda/append_kv.h"
#include "engine/backend/cuda/block_summary.h"
#include "engine/backend/cuda/causal_conv1d.h"
#include "engine/backend/cuda/conv_scan.h"
#include "engine/backend/cuda/copy_rows.h"
#include "engine/backend/cuda/device_arena.h"
#include "engine/backend/cuda/device_weights.h"
#include "engine/backend/cuda/embed.h"
#include "engine/backend/cuda/entry_point.h"
#include "engine/backend/cuda/low_rank.h"
#include "engine/backend/cuda/mat_mul.h"
#include "engine/backend/cuda/pinned_arena.h"
#include "engine/backend/cuda/retrieve_span.h"
#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/rope_table.h"
#include "engine/backend/cuda/sample_tokens.h"
#include "engine/backend/cuda/selective_scan.h"
#include "engine/backend/cuda/span_attention.h"
#include "engine/backend/cuda/swi_glu.h"
#include "engine/backend/param_checks.h"

namespace eidetic::cuda {
namespace {

// cuBLAS asks for 32 MiB on Hopper; given once, its products can be captured in graphs.
constexpr size_t kCublasWorkspaceBytes = size_t{32} << 20;
// Left to the driver, to graphs and to operations' scratch when memory_bytes is not set.
constexpr size_t kReserveBytes = size_t{4} << 30;
// The kernels are built for compute capability 9.0 alone (wgmma-era instructions).
constexpr int kComputeMajor = 9;

absl::Status ToStatus(cudaError_t error) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the CUDA device failed: ", cudaGetErrorName(error),
                                             " (", cudaGetErrorString(error),
                                             "); restart the server"));
}

// Chooses the device; `properties` of it.
absl::Status UseDevice(int32_t number, cudaDeviceProp* properties) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    return absl::UnavailableError(
        absl::StrCat("no CUDA device can be used: ", cudaGetErrorString(error)));
  }
  if (number < 0 || number >= count) {
    return absl::InvalidArgumentError(absl::StrCat("--device: there is no cuda:", number, "; ",
                                                   count, " are there, from cuda:0 on"));
  }
  if (absl::Status status = ToStatus(cudaSetDevice(number)); !status.ok()) return status;
  if (absl::Status status = ToStatus(cudaGetDeviceProperties(properties, number)); !status.ok()) {
    return status;
  }
  if (properties->major == kComputeMajor) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cuda:", number, " is a ", properties->name,
                                             " of compute capability ", properties->major, ".",
                                             properties->minor, "; this build is for Hopper, 9.0"));
}

absl::StatusOr<size_t> MemoryLimit(size_t wanted) {
  size_t free = 0, total = 0;
  if (absl::Status status = ToStatus(cudaMemGetInfo(&free, &total)); !status.ok()) return status;
  if (wanted == 0 && free > 2 * kReserveBytes) return free - kReserveBytes;
  if (wanted > 0 && wanted <= free) return wanted;
  return absl::ResourceExhaustedError(absl::StrCat("--memory_bytes: the device has ", free,
                                                   " bytes free of ", total,
                                                   "; give less, or end what else runs on it"));
}

// Keeps freed memory in the pool: what one session gives back the next one takes.
void KeepPool(int32_t device) {
  cudaMemPool_t pool = nullptr;
  if (cudaDeviceGetDefaultMemPool(&pool, device) != cudaSuccess) return;
  uint64_t threshold = ~uint64_t{0};
  cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold);
}

class CudaBackend final : public Backend, private memory::BlockIndexer {
 public:
  CudaBackend(const CudaBackendOptions& options, const cudaDeviceProp& properties,
              cudaStream_t stream, cublasHandle_t cublas, size_t memory_bytes)
      : device_(options.device),
        stream_(stream),
        cublas_(cublas),
        details_(absl::StrCat(" (", properties.name, ", ", options.float32 ? "float32" : "bf16",
                              options.batch_invariant ? ", batch-invariant" : "",
                              options.bf16_state ? ", bf16 states)" : ")")),
        queue_(std::make_unique<LaunchQueue>(stream)),
        scratch_(std::make_unique<Scratch>(queue_.get())),
        rope_(std::make_unique<RopeTable>(queue_.get())),
        arena_(options.device, memory_bytes, queue_.get(), &mutex_),
        pinned_(&arena_),
        context_{.queue = queue_.get(),
                 .scratch = scratch_.get(),
                 .cublas = cublas,
                 .rope = rope_.get(),
                 .precision = options.float32 ? Precision::kFloat32 : Precision::kBf16,
                 .processors = properties.multiProcessorCount,
                 .batch_invariant = options.batch_invariant,
                 .bf16_state = options.bf16_state} {}

  ~CudaBackend() override {
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream_);
    rope_.reset();
    scratch_.reset();
    queue_.reset();
    cublasDestroy(cublas_);
    cudaFree(workspace_);
    cudaStreamDestroy(stream_);
  }

  absl::Status Start() {
    if (absl::Status status = ToStatus(cudaMalloc(&workspace_, kCublasWorkspaceBytes));
        !status.ok()) {
      return status;
    }
    if (cublasSetStream(cublas_, stream_) == CUBLAS_STATUS_SUCCESS &&
        cublasSetWorkspace(cublas_, workspace_, kCublasWorkspaceBytes) == CUBLAS_STATUS_SUCCESS &&
        cublasSetMathMode(cublas_, context_.precision == Precision::kFloat32
                                       ? CUBLAS_PEDANTIC_MATH
                                       : CUBLAS_DEFAULT_MATH) == CUBLAS_STATUS_SUCCESS) {
      return absl::OkStatus();
    }
    return absl::UnavailableError("cuBLAS does not start on this device; check its version");
  }

  std::string name() const override { return absl::StrCat("cuda:", device_, details_); }
  std::string device_kind() const override { return "cuda" + details_; }
  std::string page_form() const override { return "cuda"; }
  memory::Arena* arena() override { return &arena_; }
  memory::Arena* host_arena() override { return &pinned_; }
  memory::BlockIndexer* indexer() override { return this; }
  size_t activation_bytes() const override {
    return context_.precision == Precision::kFloat32 ? sizeof(float) : sizeof(uint16_t);
  }
  int32_t kv_element_bytes() const override { return static_cast<int32_t>(activation_bytes()); }
  size_t ssm_element_bytes() const override {
    return context_.bf16_state ? sizeof(uint16_t) : sizeof(float);
  }
  // Channel bounds prune nothing on real text; codes prove every choice and cost 1/7.5 of the KV.
  memory::SummaryKind bounding() const override { return memory::SummaryKind::kCodes; }
  bool finds_late_pages() const override { return true; }

  absl::StatusOr<std::unique_ptr<Matrix>> LoadMatrix(const TensorView& view) override {
    return LoadStacked({&view, 1});
  }
  absl::StatusOr<std::unique_ptr<Matrix>> LoadStacked(std::span<const TensorView> views) override {
    return UploadMatrix(views, context_.precision, &arena_);
  }
  absl::StatusOr<std::unique_ptr<Vector>> LoadVector(const TensorView& view) override {
    return UploadVector(view, &arena_);
  }

  void Embed(const EmbedParams& params) override { Do(cuda::Embed, params); }
  void RmsNorm(const RmsNormParams& params) override { Do(cuda::RmsNorm, params); }
  void MatMul(const MatMulParams& params) override { Do(cuda::MatMul, params); }
  void LowRank(const LowRankParams& params) override { Do(cuda::LowRank, params); }
  void CausalConv1d(const CausalConv1dParams& params) override { Do(cuda::CausalConv1d, params); }
  void SelectiveScan(const SelectiveScanParams& params) override {
    Do(cuda::SelectiveScan, params);
  }
  void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan) override {
    CheckParams(conv);
    CheckParams(scan);
    absl::MutexLock lock(&mutex_);
    Begin();
    cuda::ConvScan(conv, scan, &context_);
  }
  void AppendKv(const AppendKvParams& params) override { Do(cuda::AppendKv, params); }
  void RetrieveSpan(const RetrieveSpanParams& params) override { Do(cuda::RetrieveSpan, params); }
  void SpanAttention(const SpanAttentionParams& params) override {
    Do(cuda::SpanAttention, params);
  }
  void SwiGlu(const SwiGluParams& params) override { Do(cuda::SwiGlu, params); }
  void CopyRows(const CopyRowsParams& params) override { Do(cuda::CopyRows, params); }
  void SampleTokens(const SampleTokensParams& params) override { Do(cuda::SampleTokens, params); }
  void ScoreTokens(const ScoreTokensParams& params) override { Do(cuda::ScoreTokens, params); }

  void CopyToHost(void* to, const void* from, size_t bytes) override {
    absl::MutexLock lock(&mutex_);
    cudaSetDevice(device_);
    queue_->Flush();
    // An error stays in the stream until Synchronize tells it.
    cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_);
    cudaStreamSynchronize(stream_);
  }
  absl::Status Synchronize() override {
    absl::MutexLock lock(&mutex_);
    cudaSetDevice(device_);
    return ToStatus(queue_->Wait());
  }

 private:
  template <typename Params>
  void Do(void (*operation)(const Params&, Context*), const Params& params) {
    CheckParams(params);
    absl::MutexLock lock(&mutex_);
    Begin();
    operation(params, &context_);
  }

  void Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    cudaSetDevice(device_);
    queue_->BeginOperation();
  }

  void Summarize(const memory::PageLayout& layout, memory::SummaryKind kind, void* const* pages,
                 void* const* tiles, memory::BlockIndex blocks) override {
    absl::MutexLock lock(&mutex_);
    Begin();
    SummarizeBlocks(layout, kind, pages, tiles, blocks, &context_);
    queue_->Flush();
  }

  const int32_t device_;
  const cudaStream_t stream_;
  const cublasHandle_t cublas_;
  const std::string details_;
  absl::Mutex mutex_;  // guards queue, scratch and context
  std::unique_ptr<LaunchQueue> queue_;
  std::unique_ptr<Scratch> scratch_;
  std::unique_ptr<RopeTable> rope_;
  DeviceArena arena_;
  PinnedArena pinned_;
  Context context_;
  void* workspace_ = nullptr;
};

absl::StatusOr<std::unique_ptr<Backend>> Create(const CudaBackendOptions& options) {
  cudaDeviceProp properties = {};
  if (options.bf16_state && (options.float32 || options.batch_invariant)) {
    return absl::InvalidArgumentError(
        "--cuda_bf16_state: not with --cuda_float32 or --batch_invariant; leave one out");
  }
  if (absl::Status status = UseDevice(options.device, &properties); !status.ok()) return status;
  const absl::StatusOr<size_t> bytes = MemoryLimit(options.memory_bytes);
  if (!bytes.ok()) return bytes.status();
  KeepPool(options.device);
  cudaStream_t stream = nullptr;
  if (absl::Status status = ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      !status.ok()) {
    return status;
  }
  cublasHandle_t cublas = nullptr;
  if (cublasCreate(&cublas) != CUBLAS_STATUS_SUCCESS) {
    cudaStreamDestroy(stream);
    return absl::UnavailableError("cuBLAS does not start on this device; check its version");
  }
  auto backend = std::make_unique<CudaBackend>(options, properties, stream, cublas, *bytes);
  if (absl::Status status = backend->Start(); !status.ok()) return status;
  return backend;
}

}  // namespace
}  // namespace eidetic::cuda

extern "C" __attribute__((visibility("default"))) eidetic::Backend* EideticCreateCudaBackend(
    const eidetic::CudaBackendOptions& options, absl::Status* status) {
  auto backend = eidetic::cuda::Create(options);
  *status = backend.status();
  return backend.ok() ? backend->release() : nullptr;
}
