// Sessions that append long prompts without end, for as long as the object lives.
//
// What: each of some threads makes a session, appends a prompt, waits until it is computed,
//   deletes the session and begins again. At a given rate the prompts come a query chunk at a
//   time, each when it is due; without one each comes at once, and the engine is never idle.
// Thread safety: none. Ownership: owns its threads, borrows the engine. Preconditions: none.
#ifndef EIDETIC_TESTS_BENCH_PREFILL_LOAD_H_
#define EIDETIC_TESTS_BENCH_PREFILL_LOAD_H_

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/bench/service_engine.h"

namespace eidetic::bench {

class PrefillLoad {
 public:
  // `tokens_per_second` over all sessions; 0: as many as the engine takes.
  PrefillLoad(ServiceEngine* service, const ServiceOptions& options, double tokens_per_second);
  ~PrefillLoad();  // waits for the prompts under way
  PrefillLoad(const PrefillLoad&) = delete;
  PrefillLoad& operator=(const PrefillLoad&) = delete;

 private:
  void Run(int thread);
  void AppendPrompt(const SessionName& name, int64_t seed);
  // Waits until `tokens` more may be offered.
  void Pace(int64_t tokens);

  ServiceEngine* const service_;
  const int64_t prompt_tokens_, piece_tokens_;
  const double tokens_per_second_;
  std::atomic<bool> stopped_ = false;
  absl::Mutex mutex_;
  double next_ ABSL_GUARDED_BY(mutex_) = 0;  // when the next piece may be offered, NowSeconds
  std::vector<std::thread> threads_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_PREFILL_LOAD_H_
