#include "engine/backend/cpu/thread_pool.h"

#include <glog/logging.h>

#include "hwy/cache_control.h"

namespace eidetic::cpu {
namespace {

// About 50 us on a CPU whose pause takes 140 cycles: longer than the gap
// between two operations of a step, shorter than anyone would notice.
constexpr int kSpins = 1000;

// No item: below it, the lower half of a ticket is the next item.
constexpr uint32_t kClosed = UINT32_MAX;

// Returns once `value` differs from `old`.
uint32_t AwaitChange(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    hwy::Pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  CHECK_GE(threads, 1);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  posted_.fetch_add(1);
  posted_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, Body body) {
  CHECK_LT(count, int64_t{kClosed});
  if (count <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  // Closed first: otherwise a late thread could claim the old loop's next
  // number against the new loop's count.
  const uint64_t loop = ((ticket_.load() >> 32) + 1) << 32;
  ticket_.store(loop | kClosed);
  body_ = &body;
  count_.store(static_cast<uint32_t>(count));
  done_.store(0);
  ticket_.store(loop);
  posted_.fetch_add(1);
  posted_.notify_all();
  RunItems(0);
  AwaitItems(static_cast<uint32_t>(count));
}

void ThreadPool::RunItems(int worker) {
  uint64_t ticket = ticket_.load();
  for (;;) {
    const auto item = static_cast<uint32_t>(ticket);
    const uint32_t count = count_.load();
    if (item >= count) return;
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
    (*body_)(item, worker);
    if (done_.fetch_add(1) + 1 == count) done_.notify_one();
    ticket = ticket_.load();
  }
}

void ThreadPool::AwaitItems(uint32_t count) {
  for (uint32_t done = done_.load(); done != count;) done = AwaitChange(done_, done);
}

void ThreadPool::WorkerLoop(int worker) {
  uint32_t seen = 0;
  for (;;) {
    seen = AwaitChange(posted_, seen);
    if (stopping_) return;
    RunItems(worker);
  }
}

}  // namespace eidetic::cpu
