#include "server/stream_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;

TEST(StreamThreadsTest, OneThreadKeepsTheOrder) {
  std::vector<int> seen;
  absl::Notification done;
  StreamThreads threads(1);
  for (int i = 0; i < 3; ++i) threads.Post([&, i] { seen.push_back(i); });
  threads.Post([&] { done.Notify(); });
  done.WaitForNotification();
  EXPECT_THAT(seen, ElementsAre(0, 1, 2));
}

TEST(StreamThreadsTest, TasksRunBesideEachOther) {
  absl::Notification first, second;
  StreamThreads threads(2);
  threads.Post([&] { second.WaitForNotification(), first.Notify(); });
  threads.Post([&] { second.Notify(); });
  first.WaitForNotification();
}

TEST(StreamThreadsTest, StopEndsWhatRunsAndLetsGoOfTheRest) {
  const auto held = std::make_shared<int>(0);
  absl::Notification running, go;
  std::atomic<int> ended = 0;
  StreamThreads threads(1);
  threads.Post([&] {
    running.Notify();
    go.WaitForNotification();
    ++ended;
  });
  running.WaitForNotification();
  threads.Post([held, &ended] { ++ended; });
  std::thread stopper([&] { threads.Stop(); });
  while (held.use_count() > 1) std::this_thread::yield();
  go.Notify();
  stopper.join();
  EXPECT_EQ(ended, 1);
  threads.Post([held] {});
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace eidetic
