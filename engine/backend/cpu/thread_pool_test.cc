#include "engine/backend/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>

namespace eidetic::cpu {
namespace {

TEST(ThreadPoolTest, EveryItemRunsOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 3, 1000}) {
      std::vector<std::atomic<int>> runs(count);
      pool.ParallelFor(count, [&](int64_t item, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++runs[item];
      });
      for (const auto& run : runs) EXPECT_EQ(run, 1);
    }
  }
}

// A thread that wakes when its loop is over must neither run an item of the
// next loop twice nor keep anyone waiting.
TEST(ThreadPoolTest, LoopsFollowEachOtherClosely) {
  ThreadPool pool(4);
  int64_t total = 0;
  for (int64_t loop = 0; loop < 20000; ++loop) {
    std::atomic<int64_t> sum{0};
    const int64_t count = 2 + loop % 5;
    pool.ParallelFor(count, [&](int64_t item, int) { sum += item + 1; });
    ASSERT_EQ(sum, count * (count + 1) / 2);
    total += sum;
  }
  EXPECT_EQ(total, 4000 * (3 + 6 + 10 + 15 + 21));
}

TEST(ThreadPoolTest, SleepingThreadsWake) {
  ThreadPool pool(2);
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // past the spinning
    std::atomic<int> arrived{0};
    // Each item waits for the other: both threads must take part.
    pool.ParallelFor(2, [&](int64_t, int) {
      ++arrived;
      while (arrived < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived, 2);
  }
}

}  // namespace
}  // namespace eidetic::cpu
