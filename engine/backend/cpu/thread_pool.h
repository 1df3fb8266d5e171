// A fixed set of threads that share the items of one loop at a time.
//
// What: ParallelFor with a latency of about a microsecond between one loop and
//   the next: idle threads spin for a moment before they sleep.
// Thread safety: ParallelFor is called by one thread at a time and does not nest.
// Ownership: owns its threads; the destructor joins them. Preconditions: threads >= 1.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_THREAD_POOL_H_
#define EIDETIC_ENGINE_BACKEND_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace eidetic::cpu {

class ThreadPool {
 public:
  // fn(item, worker): `worker` is in [0, threads()), 0 being the calling thread.
  using Body = absl::FunctionRef<void(int64_t item, int worker)>;

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` once for every item in [0, count), in any order, on any
  // thread; returns when all calls have returned. count < 2^32 - 1.
  void ParallelFor(int64_t count, Body body);

 private:
  void WorkerLoop(int worker);
  void RunItems(int worker);
  void AwaitItems(uint32_t count);

  // The loop's number in the upper half, its next item in the lower. Claiming
  // an item is one compare-and-swap on both, so a thread that wakes late finds
  // nothing of the old loop to claim and the caller need not wait for it.
  std::atomic<uint64_t> ticket_{UINT32_MAX};
  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> done_{0};
  std::atomic<uint32_t> posted_{0};  // loops begun; what idle threads sleep on
  std::atomic<bool> stopping_{false};
  const Body* body_ = nullptr;  // published by ticket_
  std::vector<std::thread> workers_;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_THREAD_POOL_H_
