// What waits to be told until the device has work again.
//
// What: the loop's results wake readers, whose threads or writes take longer than a small model's
//   step. So notifications are collected while results are applied, and made while the next step
//   runs.
// Thread safety: none; the engine's loop owns it. Ownership: owns what it has not yet called.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_SCHEDULER_OUTBOX_H_
#define EIDETIC_ENGINE_SCHEDULER_OUTBOX_H_

#include <functional>
#include <utility>
#include <vector>

namespace eidetic {

class Outbox {
 public:
  void Add(std::function<void()> tell) { waiting_.push_back(std::move(tell)); }

  // Tells everything, in order. What is added meanwhile waits for the next time.
  void Flush() {
    for (const auto& tell : std::exchange(waiting_, {})) tell();
  }

 private:
  std::vector<std::function<void()>> waiting_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_OUTBOX_H_
