// The threads that write to streams what the engine made.
//
// What: a queue of tasks and a few threads that run them. The engine's loop hands over here, so
//   that no step waits for gRPC; while a task waits, further tokens gather and share a message.
// Thread safety: thread-safe; Stop not from a task. Ownership: owns its threads, and the tasks
//   that wait. Preconditions: tasks do not block.
#ifndef EIDETIC_SERVER_STREAM_THREADS_H_
#define EIDETIC_SERVER_STREAM_THREADS_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace eidetic {

class StreamThreads {
 public:
  explicit StreamThreads(int threads);
  ~StreamThreads() { Stop(); }
  StreamThreads(const StreamThreads&) = delete;
  StreamThreads& operator=(const StreamThreads&) = delete;

  // Tasks begin in the order of their posts. After Stop they are forgotten.
  void Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);
  // Forgets the tasks that wait; returns when those that run have ended.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run();
  bool Awake() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || !tasks_.empty(); }

  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_STREAM_THREADS_H_
