#include "engine/backend/cuda/launch_queue.h"

#include <glog/logging.h>

#include <algorithm>

namespace eidetic::cuda {
namespace {

// Host data of one flush. Requests and states of 256 sequences over 64 layers fit.
constexpr size_t kStagingBytes = size_t{16} << 20;
constexpr size_t kResultBytes = size_t{4} << 20;
constexpr size_t kAlignment = 256;
// A graph of 500 launches takes about a megabyte of the device.
constexpr size_t kMaxGraphs = 128;
// Of a step, they start at once. A second graph costs a few microseconds; so many launches of a
// model take hundreds, which is about what recording the others takes.
constexpr size_t kFirstLaunches = 48;
// What a kernel may use without being allowed more.
constexpr size_t kDefaultSharedBytes = 48 << 10;

size_t AlignUp(size_t bytes, size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Two independent 64-bit multiply-and-fold hashes, side by side.
class Hasher {
 public:
  void Add(uint64_t word) {
    a_ = Fold(a_ ^ word, 0x9E3779B97F4A7C15ull);
    b_ = Fold(b_ + word, 0xD6E8FEB86659FD93ull);
  }
  void Add(const void* bytes, size_t count) {
    const auto* from = static_cast<const std::byte*>(bytes);
    Add(count);
    for (size_t i = 0; i < count; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, from + i, std::min<size_t>(8, count - i));
      Add(word);
    }
  }
  std::pair<uint64_t, uint64_t> Take() const { return {a_, b_}; }

 private:
  static uint64_t Fold(uint64_t x, uint64_t factor) {
    const auto product = static_cast<unsigned __int128>(x ^ 0x2545F4914F6CDD1Dull) * factor;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  uint64_t a_ = 1, b_ = 2;
};

}  // namespace

LaunchQueue::LaunchQueue(cudaStream_t stream) : stream_(stream) {
  for (Staging& staging : staging_) {
    void* data = nullptr;
    Check(cudaMallocHost(&data, kStagingBytes));
    staging.data = static_cast<std::byte*>(data);
    Check(cudaEventCreateWithFlags(&staging.free, cudaEventDisableTiming));
  }
  void* device = nullptr;
  Check(cudaMalloc(&device, kStagingBytes));
  staged_device_ = static_cast<std::byte*>(device);
  Check(cudaMalloc(&device, kResultBytes));
  results_device_ = static_cast<std::byte*>(device);
  Check(cudaMallocHost(&device, kResultBytes));
  results_host_ = static_cast<std::byte*>(device);
}

LaunchQueue::~LaunchQueue() {
  cudaStreamSynchronize(stream_);
  for (auto& [fingerprint, graph] : graphs_) {
    if (graph.exec != nullptr) cudaGraphExecDestroy(graph.exec);
  }
  for (Staging& staging : staging_) {
    cudaFreeHost(staging.data);
    cudaEventDestroy(staging.free);
  }
  cudaFree(staged_device_);
  cudaFree(results_device_);
  cudaFreeHost(results_host_);
}

void LaunchQueue::Check(cudaError_t error) {
  if (error == cudaSuccess || error_ != cudaSuccess) return;
  LOG(ERROR) << "CUDA: " << cudaGetErrorName(error) << ": " << cudaGetErrorString(error);
  error_ = error;
}

const void* LaunchQueue::StageBytes(const void* host, size_t bytes) {
  if (bytes == 0) return staged_device_;
  if (const auto at = staged_at_.find({host, bytes}); at != staged_at_.end()) {
    return staged_device_ + at->second;
  }
  CHECK_LE(staged_ + bytes, kStagingBytes) << "the host data of one operation is too large";
  Staging& staging = staging_[current_];
  // Until the copy of two flushes ago has been read, its memory is not ours.
  if (staged_ == 0) Check(cudaEventSynchronize(staging.free));
  std::memcpy(staging.data + staged_, host, bytes);
  const size_t offset = staged_;
  staged_at_[{host, bytes}] = offset;
  staged_ = AlignUp(staged_ + bytes, kAlignment);
  return staged_device_ + offset;
}

void LaunchQueue::BeginOperation() {
  const bool begin = !started_ && launches_.size() >= kFirstLaunches;
  if (begin || staged_ > kStagingBytes / 2) Flush();
  if (results_ > kResultBytes / 2) Wait();  // its error stays, for the next Wait to tell
}

void LaunchQueue::Record(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                         const void* params, size_t bytes, Overlap overlap) {
  CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && block.x > 0) << "an empty launch";
  AllowShared(kernel, shared_bytes);
  LaunchRecord& record = launches_.emplace_back();
  record.kernel = kernel;
  record.grid = grid;
  record.block = block;
  record.shared_bytes = shared_bytes;
  record.overlap = overlap;
  record.args_begin = AlignUp(args_.size(), 16);
  args_.resize(record.args_begin + bytes);
  std::memcpy(args_.data() + record.args_begin, params, bytes);
}

void LaunchQueue::RecordCall(const void* key, size_t bytes,
                             std::function<void(cudaStream_t)> enqueue) {
  LaunchRecord& record = launches_.emplace_back();
  record.call = std::move(enqueue);
  record.args_begin = AlignUp(args_.size(), 16);
  args_.resize(record.args_begin + bytes);
  std::memcpy(args_.data() + record.args_begin, key, bytes);
}

// The limit is the process's: another backend may have set it higher, and needs it there.
void LaunchQueue::AllowShared(const void* kernel, size_t shared_bytes) {
  if (shared_bytes <= kDefaultSharedBytes) return;
  size_t& allowed = shared_allowed_[kernel];
  if (shared_bytes <= allowed) return;
  cudaFuncAttributes attributes = {};
  Check(cudaFuncGetAttributes(&attributes, kernel));
  allowed = std::max(shared_bytes, static_cast<size_t>(attributes.maxDynamicSharedSizeBytes));
  if (allowed > shared_bytes) return;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes)));
}

void* LaunchQueue::Result(void* host, size_t bytes) {
  const size_t offset = results_;
  CHECK_LE(offset + bytes, kResultBytes) << "the results of one step are too large";
  results_ = AlignUp(results_ + bytes, kAlignment);
  result_records_.push_back({host, offset, bytes});
  return results_device_ + offset;
}

void LaunchQueue::Finally(std::function<void()> work) { finally_.push_back(std::move(work)); }

LaunchQueue::Fingerprint LaunchQueue::TakeFingerprint() const {
  Hasher hasher;
  for (size_t i = 0; i < launches_.size(); ++i) {
    const LaunchRecord& r = launches_[i];
    const size_t end = i + 1 < launches_.size() ? launches_[i + 1].args_begin : args_.size();
    hasher.Add(reinterpret_cast<uintptr_t>(r.kernel));
    hasher.Add(uint64_t{r.grid.x} << 32 | r.grid.y);
    hasher.Add(uint64_t{r.grid.z} << 32 | r.block.x);
    hasher.Add(uint64_t{r.block.y} << 40 | uint64_t{r.block.z} << 32 | r.shared_bytes);
    hasher.Add(static_cast<uint64_t>(r.overlap));
    hasher.Add(args_.data() + r.args_begin, end - r.args_begin);
  }
  return hasher.Take();
}

void LaunchQueue::SendStaged() {
  if (staged_ > 0) {
    Staging& staging = staging_[current_];
    Check(cudaMemcpyAsync(staged_device_, staging.data, staged_, cudaMemcpyHostToDevice, stream_));
    Check(cudaEventRecord(staging.free, stream_));
    current_ = 1 - current_;
  }
  staged_ = 0;
  staged_at_.clear();
  if (results_ > results_sent_) {
    Check(cudaMemsetAsync(results_device_ + results_sent_, 0, results_ - results_sent_, stream_));
    results_sent_ = results_;
  }
}

void LaunchQueue::StartAll() {
  for (LaunchRecord& record : launches_) {
    if (record.kernel == nullptr) {
      record.call(stream_);
      continue;
    }
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = record.grid;
    config.blockDim = record.block;
    config.dynamicSmemBytes = record.shared_bytes;
    config.stream = stream_;
    config.attrs = &attribute;
    config.numAttrs = record.overlap == Overlap::kPrologue ? 1 : 0;
    void* args[] = {args_.data() + record.args_begin};
    Check(cudaLaunchKernelExC(&config, record.kernel, args));
  }
}

void LaunchQueue::RunGraph(Graph* graph) {
  if (graph->exec == nullptr) {
    cudaGraph_t captured = nullptr;
    Check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    StartAll();
    Check(cudaStreamEndCapture(stream_, &captured));
    if (captured == nullptr) return;
    Check(cudaGraphInstantiate(&graph->exec, captured, 0));
    cudaGraphDestroy(captured);
    if (graph->exec == nullptr) return;
  }
  Check(cudaGraphLaunch(graph->exec, stream_));
}

void LaunchQueue::DropOldGraphs() {
  if (graphs_.size() <= kMaxGraphs) return;
  const auto oldest = std::min_element(graphs_.begin(), graphs_.end(), [](auto& a, auto& b) {
    return a.second.last_used < b.second.last_used;
  });
  if (oldest->second.exec != nullptr) {
    Check(cudaStreamSynchronize(stream_));
    cudaGraphExecDestroy(oldest->second.exec);
  }
  graphs_.erase(oldest);
}

void LaunchQueue::Flush() {
  if (launches_.empty()) return;
  SendStaged();
  if (error_ == cudaSuccess) {
    const auto [at, is_new] = graphs_.try_emplace(TakeFingerprint());
    at->second.last_used = ++flushes_;
    if (is_new) {
      StartAll();
      DropOldGraphs();
    } else {
      RunGraph(&at->second);
    }
  }
  launches_.clear();
  args_.clear();
  started_ = true;
}

void LaunchQueue::CopyResults() {
  if (result_records_.empty()) return;
  Check(cudaMemcpyAsync(results_host_, results_device_, results_, cudaMemcpyDeviceToHost, stream_));
}

cudaError_t LaunchQueue::Wait() {
  Flush();
  CopyResults();
  Check(cudaStreamSynchronize(stream_));
  for (const ResultRecord& record : result_records_) {
    if (error_ == cudaSuccess) {
      std::memcpy(record.host, results_host_ + record.offset, record.bytes);
    } else {
      std::memset(record.host, 0, record.bytes);
    }
  }
  result_records_.clear();
  results_ = results_sent_ = 0;
  started_ = false;
  for (const std::function<void()>& work : std::exchange(finally_, {})) work();
  return error_;
}

}  // namespace eidetic::cuda
