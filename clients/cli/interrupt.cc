#include "clients/cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "clients/cli/exit_code.h"

namespace eidetic::cli {

void Interrupt::Listen() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([this, signals] {
    int signal = 0;
    while (sigwait(&signals, &signal) == 0) {
      // A second Ctrl-C: the command did not end by itself.
      if (!Trigger()) _exit(static_cast<int>(ExitCode::kInterrupted));
    }
  }).detach();
}

bool Interrupt::Trigger() {
  absl::MutexLock lock(&mutex_);
  triggered_ = true;
  if (handlers_.empty() || handlers_.back().called) return false;
  handlers_.back().called = true;
  handlers_.back().call();
  return true;
}

bool Interrupt::triggered() const {
  absl::MutexLock lock(&mutex_);
  return triggered_;
}

Interrupt::Scope::Scope(Interrupt* interrupt, std::function<void()> handler)
    : interrupt_(interrupt) {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->handlers_.push_back({std::move(handler)});
}

Interrupt::Scope::~Scope() {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->handlers_.pop_back();
}

}  // namespace eidetic::cli
