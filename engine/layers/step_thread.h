// One thread that runs one piece of work at a time.
//
// What: lets the caller do something else while a step runs on a backend whose
//   operations block.
// Thread safety: Start and Wait are called in turn, by one thread.
// Ownership: owns its thread; the destructor waits for work under way.
// Preconditions: Wait follows each Start.
#ifndef EIDETIC_ENGINE_LAYERS_STEP_THREAD_H_
#define EIDETIC_ENGINE_LAYERS_STEP_THREAD_H_

#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"

namespace eidetic {

class StepThread {
 public:
  StepThread();
  ~StepThread();
  StepThread(const StepThread&) = delete;
  StepThread& operator=(const StepThread&) = delete;

  void Start(std::function<void()> work);
  void Wait();

 private:
  void Loop();

  absl::Mutex mutex_;
  std::function<void()> work_ ABSL_GUARDED_BY(mutex_);  // null: nothing to do
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_STEP_THREAD_H_
