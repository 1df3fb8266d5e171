// What other threads ask of the engine's loop.
//
// What: a queue of commands that the loop runs between steps, and a bell.
// Thread safety: thread-safe; one thread takes. Ownership: owns the commands that
//   wait. Preconditions: none.
#ifndef EIDETIC_ENGINE_SCHEDULER_MAILBOX_H_
#define EIDETIC_ENGINE_SCHEDULER_MAILBOX_H_

#include <atomic>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace eidetic {

class Mailbox {
 public:
  // Called once: with OK on the loop's thread, or with CANCELLED when the loop ends.
  using Command = absl::AnyInvocable<void(absl::Status)>;

  // After Close the command is called here and now, with CANCELLED.
  void Post(Command command);
  // Makes the loop look again.
  void Wake();
  // The commands that wait, in order; waits at most `timeout` for a command, for Wake or Close.
  std::vector<Command> Take(absl::Duration timeout);
  // From now on nothing is queued; what is there can still be taken.
  void Close();
  bool closed() const;

  static absl::Status Closed() {
    return absl::CancelledError("the server is shutting down; retry on another");
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
  // Set under no lock too: many wake a loop that is awake.
  std::atomic<bool> woken_ = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_MAILBOX_H_
