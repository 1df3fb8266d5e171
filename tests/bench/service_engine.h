// An engine for measurements of the service, with room for what they run.
//
// What: backend, metrics and engine as eidetic-server makes them, and sums of the engine's
//   steps.
// Thread safety: thread-safe. Ownership: owns everything. Preconditions: the model folder or
//   config is good (CHECKed).
#ifndef EIDETIC_TESTS_BENCH_SERVICE_ENGINE_H_
#define EIDETIC_TESTS_BENCH_SERVICE_ENGINE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/backend/backend.h"
#include "engine/engine.h"
#include "server/metrics.h"

namespace eidetic::bench {

struct ServiceOptions {
  std::string device;
  std::filesystem::path model;      // a model folder, or a config.json: random weights
  std::filesystem::path tokenizer;  // folder, for a config.json
  int32_t rounds = 3;
  // Of each generation.
  int32_t streams = 64, tokens = 256, prompt_tokens = 32;
  float temperature = 0;
  // Of the load beside them.
  int32_t prefill_sessions = 4, prefill_tokens = 16384;
  int32_t max_batch_sequences = 0;         // of a step; 0: all
  std::filesystem::path data_folder = {};  // empty: nothing is kept
  // Not zero: PacedBackend takes so long a step, and nothing is computed.
  absl::Duration paced_step = absl::ZeroDuration();
  EngineLimits limits = {};  // those that count sequences and memory are set to what is needed
};

struct StepTotals {
  int64_t steps = 0, prefill_tokens = 0;
  double seconds = 0;  // within steps: from the model's call to its result
  // That a thread had a processor, from its beginning: the loop's, and the journal's.
  double loop_seconds = 0, journal_seconds = 0;
};

// The server's metrics, and sums that can be read.
class SummingMetrics final : public Metrics {
 public:
  using Metrics::Metrics;
  void OnStep(const Step& step) override;
  void OnStepApplied() override;
  void OnCommit(double seconds) override;
  StepTotals totals() const;
  // How long each commit since the last call took until it was durable.
  std::vector<double> TakeCommits();

 private:
  mutable absl::Mutex mutex_;
  StepTotals totals_ ABSL_GUARDED_BY(mutex_);
  std::vector<double> commits_ ABSL_GUARDED_BY(mutex_);
};

class ServiceEngine {
 public:
  explicit ServiceEngine(const ServiceOptions& options);

  Engine& engine() { return *engine_; }
  const Backend& backend() const { return paced_ ? *paced_ : *backend_; }
  SummingMetrics& metrics() { return *metrics_; }
  // What a new session attends by, as the server sets it.
  memory::SpanSettings settings() const;
  // A request without a session for stream `stream`, which nothing ends before its last token.
  GenerateSpec Spec(const ServiceOptions& options, int64_t stream) const;

 private:
  const std::unique_ptr<Backend> backend_;
  const std::unique_ptr<Backend> paced_;  // null: backend_ computes
  const std::unique_ptr<SummingMetrics> metrics_;
  const std::unique_ptr<Engine> engine_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_SERVICE_ENGINE_H_
