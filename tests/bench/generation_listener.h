// Hears one generation of an engine in its own callbacks, without gRPC.
//
// Thread safety: the engine's loop writes; WaitForEnd from any thread, the rest after it.
// Ownership: shared with the engine's callbacks until the end. Preconditions: the engine
//   outlives it.
#ifndef EIDETIC_TESTS_BENCH_GENERATION_LISTENER_H_
#define EIDETIC_TESTS_BENCH_GENERATION_LISTENER_H_

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "engine/engine.h"

namespace eidetic::bench {

class GenerationListener : public std::enable_shared_from_this<GenerationListener> {
 public:
  static std::shared_ptr<GenerationListener> Start(Engine* engine, GenerateSpec spec);

  // CHECKs that the answer ended well.
  void WaitForEnd() const { ended_.WaitForNotification(); }
  // When each token came, NowSeconds.
  const std::vector<double>& times() const { return times_; }

 private:
  GenerationListener() = default;
  void Drain();

  std::shared_ptr<GenerationReader> reader_;  // null once the answer has ended
  std::vector<double> times_;
  absl::Notification ended_;
};

// Runs all of them at once to their ends.
std::vector<std::shared_ptr<GenerationListener>> RunAll(Engine* engine,
                                                        std::vector<GenerateSpec> specs);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_GENERATION_LISTENER_H_
