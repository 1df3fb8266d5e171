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
  if (woken_.exchange(true)) return;  // the loop has yet to look
  absl::MutexLock lock(&mutex_);      // its end is what Take hears
}

std::vector<Mailbox::Command> Mailbox::Take(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto woken = [this] { return woken_.load(); };
  mutex_.AwaitWithTimeout(absl::Condition(&woken), timeout);
  woken_.exchange(false);  // what whoever woke us did before is seen from here on
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
