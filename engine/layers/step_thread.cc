#include "engine/layers/step_thread.h"

#include <glog/logging.h>

#include <utility>

namespace eidetic {

StepThread::StepThread() : thread_([this] { Loop(); }) {}

StepThread::~StepThread() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void StepThread::Start(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  CHECK(work_ == nullptr) << "a step is under way already";
  work_ = std::move(work);
}

void StepThread::Wait() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](std::function<void()>* work) { return *work == nullptr; }, &work_));
}

void StepThread::Loop() {
  const auto woken = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || work_ != nullptr;
  };
  for (;;) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&woken));
      if (work_ == nullptr) return;
      work = work_;
    }
    work();
    absl::MutexLock lock(&mutex_);
    work_ = nullptr;
  }
}

}  // namespace eidetic
