#include "engine/scheduler/mailbox.h"

#include <utility>

namespace eidetic {

void Mailbox::Post(Command command) {
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_) {
      commands_.push_back(std::move(command));
      woken_ = true;
      return;
    }
  }
  command(Closed());
}

void Mailbox::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

std::vector<Mailbox::Command> Mailbox::Take(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&woken_), timeout);
  woken_ = false;
  return std::exchange(commands_, {});
}

void Mailbox::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = woken_ = true;
}

bool Mailbox::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

}  // namespace eidetic
