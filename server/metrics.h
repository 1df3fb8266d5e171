// What Prometheus is told. Every name carries its unit.
//
// What: counters and histograms that the engine and the RPCs feed, and gauges and counters that are
//   read from Engine::Stats, the process and the disk when the page is asked for; and from the same
//   numbers whether the server is alive and takes requests.
// Thread safety: thread-safe; the EngineObserver's part as it says. Ownership: owns the registry;
//   borrows the engine that it watches. Preconditions: Watch(nullptr) before the engine goes.
#ifndef EIDETIC_SERVER_METRICS_H_
#define EIDETIC_SERVER_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "server/identity/identity_observer.h"
#include "server/loop_histogram.h"

namespace eidetic {

struct MetricsOptions {
  // Tenants that get labels of their own; all others are the tenant "other".
  std::set<std::string> tenants = {};
  std::filesystem::path data_folder = {};  // its disk's space is told; "": none
  absl::Duration heartbeat_timeout = absl::Seconds(10);
};

class Metrics : public EngineObserver, public IdentityObserver, public prometheus::Collectable {
 public:
  // `model` and `backend` become labels of eidetic_build_info.
  Metrics(const std::string& model, const std::string& backend, MetricsOptions options = {});

  void OnStep(const Step& step) override;
  void OnQueued(double seconds) override { queue_seconds_.Observe(seconds); }
  void OnFirstToken(StartTier start, double seconds) override;
  void OnWake(double seconds) override { restore_seconds_.Observe(seconds); }
  // Counted with the step that the token belongs to.
  void OnStepApplied() override { inter_token_.Flush(); }
  void OnInterToken(double seconds) override { inter_token_.Observe(seconds); }
  void OnCommit(double seconds) override { commit_seconds_.Observe(seconds); }

  void OnAuthFailure(const char* reason) override;
  void OnFileChanged(const std::string& flag, bool taken) override;

  // One RPC ended. `method` is a label: the caller sees to it that there are few of them. Of what
  // was refused `message` tells why, in the form "what: why".
  void CountRpc(const std::string& method, absl::StatusCode code, const std::string& message = "");
  // An answer of `tenant` ended, and some of its tokens were told.
  void CountGeneration(const std::string& tenant, absl::StatusCode code);
  void CountTenantTokens(const std::string& tenant, int64_t prompt, int64_t generated);
  void OnSlowReaderCut() { slow_readers_cut_.Increment(); }

  // The engine whose Stats are shown; null for none.
  void Watch(const Engine* engine);
  // From now on new RPCs are refused.
  void OnDraining() { draining_ = true; }

  // UNAVAILABLE, with why: no model is loaded yet, or the engine's loop does not turn.
  absl::Status Live() const;
  // The same, or no further request would be admitted.
  absl::Status Ready() const;

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  absl::Status LiveLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::string& TenantLabel(const std::string& tenant) const;

  const MetricsOptions options_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Histogram>& first_token_seconds_;
  std::vector<prometheus::Histogram*> first_token_by_start_;  // by StartTier
  prometheus::Histogram& inter_token_seconds_;
  LoopHistogram inter_token_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Histogram& restore_seconds_;
  prometheus::Histogram& commit_seconds_;
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
  prometheus::Family<prometheus::Counter>& rejections_;
  prometheus::Family<prometheus::Counter>& cancellations_;
  prometheus::Counter& slow_readers_cut_;
  prometheus::Family<prometheus::Counter>& tenant_generations_;
  prometheus::Family<prometheus::Counter>& tenant_tokens_;
  prometheus::Family<prometheus::Counter>& auth_failures_;
  prometheus::Family<prometheus::Counter>& file_changes_;

  std::atomic<bool> draining_ = false;
  mutable absl::Mutex mutex_;
  const Engine* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_METRICS_H_
