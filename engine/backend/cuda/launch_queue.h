// The work of one step on the device: recorded by the operations, then started as a whole.
//
// What: operations stage host data and record kernel launches; Flush sends all staged data
//   in one copy and starts the launches in order. A list of launches that comes again,
//   with the same arguments, becomes a CUDA graph: what changes from step to step (tokens,
//   page tables, requests) therefore belongs in staged data, never in launch arguments.
// Thread safety: none; the backend's lock guards it.
// Ownership: owns stream-side buffers and graphs; borrows the stream. Host memory given to
//   Result must live until Wait.
// Preconditions: kernels take one trivially copyable params struct by value.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_LAUNCH_QUEUE_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_LAUNCH_QUEUE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace eidetic::cuda {

// How a kernel relates to the one before it in the stream.
enum class Overlap : uint8_t {
  kNone,
  // Programmatic dependent launch: it may begin while its predecessor runs, and calls
  // cudaGridDependencySynchronize() before it reads anything that a kernel writes.
  kPrologue,
};

class LaunchQueue {
 public:
  explicit LaunchQueue(cudaStream_t stream);
  ~LaunchQueue();
  LaunchQueue(const LaunchQueue&) = delete;
  LaunchQueue& operator=(const LaunchQueue&) = delete;

  // Before an operation's first Stage: makes sure that all it stages lies in one flush, and that
  // there is room for its results (waiting for those before, if need be). A step's first launches
  // start here: the device works on them while the rest is recorded.
  void BeginOperation();

  // A device copy of host data that lives until the launches recorded so far have run.
  // The same host array staged again before Flush is sent once.
  template <typename T>
  const T* Stage(std::span<const T> host) {
    static_assert(std::is_trivially_copyable_v<T>);
    return static_cast<const T*>(StageBytes(host.data(), host.size_bytes()));
  }

  // grid and block must not be empty.
  template <typename Params>
  void Launch(void (*kernel)(Params), dim3 grid, dim3 block, size_t shared_bytes, Params params,
              Overlap overlap = Overlap::kNone) {
    static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= 4096);
    // Padding is part of what tells one launch from another.
    __builtin_clear_padding(&params);
    Record(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, &params,
           sizeof(Params), overlap);
  }
  // Work that a library enqueues. `key` holds everything that `enqueue` depends on.
  template <typename Key>
  void Call(Key key, std::function<void(cudaStream_t)> enqueue) {
    static_assert(std::is_trivially_copyable_v<Key>);
    __builtin_clear_padding(&key);
    RecordCall(&key, sizeof(Key), std::move(enqueue));
  }

  // Device memory of `bytes`, zeroed, for one launch's results; copied to `host` by Wait.
  void* Result(void* host, size_t bytes);
  // Runs after the results have been copied, within Wait.
  void Finally(std::function<void()> work);

  // Starts everything recorded. Does not wait.
  void Flush();
  // Flushes and waits; then fills results and runs what Finally was given. An error is
  // the device's, and stays: every later Wait returns it.
  cudaError_t Wait();

  cudaStream_t stream() const { return stream_; }

 private:
  struct LaunchRecord {
    const void* kernel = nullptr;  // null: a call
    dim3 grid, block;
    size_t shared_bytes = 0;
    Overlap overlap = Overlap::kNone;
    size_t args_begin = 0;  // in args_
    std::function<void(cudaStream_t)> call;
  };
  struct ResultRecord {
    void* host = nullptr;
    size_t offset = 0, bytes = 0;
  };
  using Fingerprint = std::pair<uint64_t, uint64_t>;
  struct Graph {
    cudaGraphExec_t exec = nullptr;  // null: seen once, not captured yet
    int64_t last_used = 0;
  };
  // Pinned host memory that is free again once `free` has passed.
  struct Staging {
    std::byte* data = nullptr;
    cudaEvent_t free = nullptr;
  };

  const void* StageBytes(const void* host, size_t bytes);
  void Record(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const void* params,
              size_t bytes, Overlap overlap);
  void RecordCall(const void* key, size_t bytes, std::function<void(cudaStream_t)> enqueue);
  void AllowShared(const void* kernel, size_t shared_bytes);
  void SendStaged();
  void StartAll();
  void RunGraph(Graph* graph);
  void DropOldGraphs();
  void CopyResults();
  Fingerprint TakeFingerprint() const;
  void Check(cudaError_t error);

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;  // the first that was seen

  std::vector<LaunchRecord> launches_;
  std::vector<std::byte> args_;                   // of all launches, 16-aligned each
  std::map<const void*, size_t> shared_allowed_;  // by kernel

  Staging staging_[2];  // one is filled while the other may still be read
  int current_ = 0;
  bool started_ = false;                                        // launches since the last Wait
  size_t staged_ = 0;                                           // bytes in the current one
  std::map<std::pair<const void*, size_t>, size_t> staged_at_;  // host array -> offset
  std::byte* staged_device_ = nullptr;

  std::byte* results_device_ = nullptr;
  std::byte* results_host_ = nullptr;  // pinned
  size_t results_ = 0;                 // bytes handed out since the last Wait
  size_t results_sent_ = 0;            // of them, already zeroed by a Flush
  std::vector<ResultRecord> result_records_;
  std::vector<std::function<void()>> finally_;

  std::map<Fingerprint, Graph> graphs_;
  int64_t flushes_ = 0;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_LAUNCH_QUEUE_H_
