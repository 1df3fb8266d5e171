#include "server/stream_threads.h"

#include <utility>

namespace eidetic {

StreamThreads::StreamThreads(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

void StreamThreads::Post(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  if (!stopped_) tasks_.push_back(std::move(task));
}

void StreamThreads::Stop() {
  {
    std::deque<std::function<void()>> forgotten;  // let go outside the lock
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    forgotten.swap(tasks_);
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void StreamThreads::Run() {
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &StreamThreads::Awake));
      if (stopped_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace eidetic
