// Ends streams whose clients take nothing.
//
// What: a stream has one write in flight, and the engine pauses behind it; a client that never
//   reads would so hold memory and a place among the running requests for ever. A thread looks at
//   all streams, and cuts those whose write has been in flight for too long. A stream that waits
//   for the engine is never cut.
// Thread safety: thread-safe. Ownership: owns its thread; borrows the streams.
// Preconditions: `timeout` > 0.
#ifndef EIDETIC_SERVER_SLOW_READERS_H_
#define EIDETIC_SERVER_SLOW_READERS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace eidetic {

class SlowReaders {
 public:
  class Stream {
   public:
    virtual ~Stream() = default;
    // A number that no other write of the stream has; 0: none is in flight.
    virtual int64_t WriteInFlight() const = 0;
    // Ends the stream if that write is still in flight; whether it was.
    virtual bool Cut(int64_t write) = 0;
  };

  SlowReaders(absl::Duration timeout, std::function<void()> on_cut);
  ~SlowReaders();
  SlowReaders(const SlowReaders&) = delete;
  SlowReaders& operator=(const SlowReaders&) = delete;

  void Add(std::weak_ptr<Stream> stream) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Watched {
    std::weak_ptr<Stream> stream = {};
    int64_t write = 0;
    absl::Time since = absl::InfiniteFuture();  // when the write was first seen
  };
  void Run();
  void LookAtAll(absl::Time now);
  // False once the stream is gone.
  bool Look(absl::Time now, Watched* watched) const;

  const absl::Duration timeout_;
  const std::function<void()> on_cut_;
  std::vector<Watched> watched_;  // the thread's
  absl::Mutex mutex_;
  std::vector<std::weak_ptr<Stream>> added_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SLOW_READERS_H_
