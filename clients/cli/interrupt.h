// Ctrl-C as a function call: SIGINT is taken by a thread of its own, which asks the
// running command to end.
//
// Thread safety: thread-safe.
// Ownership: a Scope's handler is held until the Scope ends.
// Preconditions: Scopes end in the reverse order of their making; Listen() is called
//   once, before any other thread is started, so that all threads leave SIGINT to it.
#ifndef EIDETIC_CLIENTS_CLI_INTERRUPT_H_
#define EIDETIC_CLIENTS_CLI_INTERRUPT_H_

#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace eidetic::cli {

class Interrupt {
 public:
  // Sends SIGINT to this object for the rest of the process; `this` must live as long.
  void Listen();

  // Calls the innermost handler, once; false when there is none left that was not
  // called: then nothing will end the command but the process's end.
  bool Trigger();
  bool triggered() const;

  class Scope {
   public:
    Scope(Interrupt* interrupt, std::function<void()> handler);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interrupt* const interrupt_;
  };

 private:
  struct Handler {
    std::function<void()> call;
    bool called = false;
  };

  mutable absl::Mutex mutex_;
  bool triggered_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Handler> handlers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_INTERRUPT_H_
