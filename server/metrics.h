// What Prometheus is told. Every name carries its unit.
//
// What: counters and histograms that the engine and the RPCs feed, and gauges and counters that are
//   read from Engine::Stats when the page is asked for.
// Thread safety: thread-safe. Ownership: owns the registry; borrows the engine that it watches.
// Preconditions: Watch(nullptr) before the engine goes.
#ifndef EIDETIC_SERVER_METRICS_H_
#define EIDETIC_SERVER_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "engine/engine.h"
#include "server/identity/identity_observer.h"

namespace eidetic {

class Metrics : public EngineObserver, public IdentityObserver, public prometheus::Collectable {
 public:
  // `model` and `backend` become labels of eidetic_build_info.
  Metrics(const std::string& model, const std::string& backend);

  void OnStep(const Step& step) override;
  void OnQueued(double seconds) override { queue_seconds_.Observe(seconds); }
  void OnFirstToken(double seconds) override { first_token_seconds_.Observe(seconds); }
  void OnWake(double seconds) override { wake_seconds_.Observe(seconds); }
  void OnInterToken(double seconds) override { inter_token_seconds_.Observe(seconds); }

  void OnAuthFailure(const char* reason) override;
  void OnFileChanged(const std::string& flag, bool taken) override;

  // One RPC ended. Both are labels: the caller sees to it that there are few of them.
  void CountRpc(const std::string& method, absl::StatusCode code);

  // The engine whose Stats are shown; null for none.
  void Watch(const Engine* engine);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  prometheus::Registry registry_;
  prometheus::Histogram& first_token_seconds_;
  prometheus::Histogram& inter_token_seconds_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Histogram& wake_seconds_;
  prometheus::Family<prometheus::Histogram>& step_seconds_;
  prometheus::Histogram& decode_step_seconds_;
  prometheus::Histogram& prefill_step_seconds_;
  prometheus::Histogram& mixed_step_seconds_;
  prometheus::Histogram& batch_sequences_;
  prometheus::Family<prometheus::Counter>& tokens_;
  prometheus::Counter& prompt_tokens_;
  prometheus::Counter& generated_tokens_;
  prometheus::Histogram& retrieval_seconds_;
  prometheus::Counter& candidate_blocks_;
  prometheus::Counter& retrieval_bytes_;
  prometheus::Family<prometheus::Counter>& choices_;
  prometheus::Counter& proven_choices_;
  prometheus::Counter& unproven_choices_;
  prometheus::Family<prometheus::Counter>& rpcs_;
  prometheus::Family<prometheus::Counter>& auth_failures_;
  prometheus::Family<prometheus::Counter>& file_changes_;

  mutable absl::Mutex mutex_;
  const Engine* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

// Serves `metrics` at http://`address`/metrics. INVALID_ARGUMENT when it can not listen there.
absl::StatusOr<std::unique_ptr<prometheus::Exposer>> ServeMetrics(
    const std::string& address, const std::shared_ptr<Metrics>& metrics);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_METRICS_H_
