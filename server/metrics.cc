#include "server/metrics.h"

#include <prometheus/gauge.h>
#include <prometheus/metric_family.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/engine_numbers.h"
#include "server/process_numbers.h"
#include "server/version.h"

namespace eidetic {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// In seconds, from one step of a small model to a request that waits for others.
const Buckets& RequestBuckets() {
  static const auto* buckets =
      new Buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
  return *buckets;
}

const Buckets& StepBuckets() {
  static const auto* buckets = new Buckets{
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};
  return *buckets;
}

const Buckets& RetrievalBuckets() {
  static const auto* buckets = new Buckets{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                           0.005,   0.01,   0.025,   0.05,   0.1,   1};
  return *buckets;
}

prometheus::Family<prometheus::Histogram>& HistogramFamily(prometheus::Registry& registry,
                                                           const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry,
                                                       const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

// What ran out, when a message says so: a label may not be anything.
const char* RejectionReason(const std::string& message) {
  for (const char* reason :
       {"sequences", "memory", "sessions", "request_id", "snapshot_id", "data", "stream"}) {
    if (message.starts_with(absl::StrCat(reason, ":"))) return reason;
  }
  return "other";
}

void AddDraining(bool draining, std::vector<prometheus::MetricFamily>* families) {
  prometheus::ClientMetric metric;
  metric.gauge.value = draining ? 1 : 0;
  families->push_back({"eidetic_draining",
                       "1 while the server ends: it takes no new requests.",
                       prometheus::MetricType::Gauge,
                       {std::move(metric)}});
}

}  // namespace

Metrics::Metrics(const std::string& model, const std::string& backend, MetricsOptions options)
    : options_(std::move(options)),
      first_token_seconds_(
          HistogramFamily(registry_, "eidetic_time_to_first_token_seconds",
                          "From a request's arrival to its first token, by where its session's "
                          "memory was: warm (device), host, disk, cold (nowhere).")),
      inter_token_seconds_(HistogramFamily(registry_, "eidetic_inter_token_seconds",
                                           "Between two tokens of one answer.")
                               .Add({}, StepBuckets())),
      inter_token_(&inter_token_seconds_, StepBuckets()),
      queue_seconds_(HistogramFamily(registry_, "eidetic_queue_seconds",
                                     "From a request's arrival to its first step.")
                         .Add({}, RequestBuckets())),
      restore_seconds_(HistogramFamily(registry_, "eidetic_session_restore_seconds",
                                       "Loading the memory of a session that slept.")
                           .Add({}, RequestBuckets())),
      commit_seconds_(HistogramFamily(registry_, "eidetic_commit_seconds",
                                      "From handing changes to the journal until they are durable.")
                          .Add({}, StepBuckets())),
      step_seconds_(HistogramFamily(registry_, "eidetic_engine_step_seconds",
                                    "One pass of the model over a batch.")),
      decode_step_seconds_(step_seconds_.Add({{"phase", "decode"}}, StepBuckets())),
      prefill_step_seconds_(step_seconds_.Add({{"phase", "prefill"}}, StepBuckets())),
      mixed_step_seconds_(step_seconds_.Add({{"phase", "mixed"}}, StepBuckets())),
      batch_sequences_(
          HistogramFamily(registry_, "eidetic_batch_sequences", "Sequences in one step.")
              .Add({}, Buckets{1, 2, 4, 8, 16, 32, 64, 128, 256})),
      tokens_(CounterFamily(registry_, "eidetic_tokens_total", "Tokens computed.")),
      prompt_tokens_(tokens_.Add({{"kind", "prompt"}})),
      generated_tokens_(tokens_.Add({{"kind", "generated"}})),
      retrieval_seconds_(HistogramFamily(registry_, "eidetic_retrieval_seconds",
                                         "Spent in one step on choosing expansion spans.")
                             .Add({}, RetrievalBuckets())),
      candidate_blocks_(CounterFamily(registry_, "eidetic_retrieval_candidate_blocks_total",
                                      "Blocks whose keys were read to choose spans.")
                            .Add({})),
      retrieval_bytes_(CounterFamily(registry_, "eidetic_retrieval_read_bytes_total",
                                     "Bytes of index and keys read to choose spans.")
                           .Add({})),
      choices_(CounterFamily(registry_, "eidetic_retrieval_choices_total",
                             "Spans chosen, by whether the choice was proven exact.")),
      proven_choices_(choices_.Add({{"proven", "true"}})),
      unproven_choices_(choices_.Add({{"proven", "false"}})),
      rpcs_(CounterFamily(registry_, "eidetic_rpc_total", "RPCs ended, by method and code.")),
      rejections_(CounterFamily(registry_, "eidetic_rejections_total",
                                "RPCs answered RESOURCE_EXHAUSTED, by what had run out, and "
                                "UNAVAILABLE.")),
      cancellations_(CounterFamily(registry_, "eidetic_cancellations_total",
                                   "RPCs whose client left or whose deadline passed.")),
      slow_readers_cut_(CounterFamily(registry_, "eidetic_slow_readers_cut_total",
                                      "Streams ended because their client took nothing.")
                            .Add({})),
      tenant_generations_(CounterFamily(registry_, "eidetic_tenant_generations_total",
                                        "Answers ended, by tenant and code.")),
      tenant_tokens_(CounterFamily(registry_, "eidetic_tenant_tokens_total",
                                   "Tokens of answers: of their prompts, and told.")),
      auth_failures_(CounterFamily(registry_, "eidetic_auth_failures_total",
                                   "Calls answered UNAUTHENTICATED, by what was wrong.")),
      file_changes_(CounterFamily(registry_, "eidetic_identity_file_changes_total",
                                  "Changes of files that tell who calls, by whether the new "
                                  "version was taken.")) {
  for (const char* start : {"warm", "host", "disk", "cold"}) {
    first_token_by_start_.push_back(
        &first_token_seconds_.Add({{"start", start}}, RequestBuckets()));
  }
  prometheus::BuildGauge()
      .Name("eidetic_build_info")
      .Help("Always 1; the labels tell what runs.")
      .Register(registry_)
      .Add({{"version", kVersion}, {"model", model}, {"backend", backend}})
      .Set(1);
}

void Metrics::OnStep(const Step& step) {
  prometheus::Histogram& seconds = step.prefill_tokens == 0  ? decode_step_seconds_
                                   : step.decode_tokens == 0 ? prefill_step_seconds_
                                                             : mixed_step_seconds_;
  seconds.Observe(step.seconds);
  batch_sequences_.Observe(step.sequences);
  prompt_tokens_.Increment(step.prefill_tokens);
  generated_tokens_.Increment(step.decode_tokens);
  const RetrievalStats& retrieval = step.retrieval;
  if (retrieval.choices == 0) return;
  if (retrieval.seconds > 0) retrieval_seconds_.Observe(retrieval.seconds);
  candidate_blocks_.Increment(retrieval.candidates_read);
  retrieval_bytes_.Increment(retrieval.bytes_read);
  proven_choices_.Increment(retrieval.proven);
  unproven_choices_.Increment(retrieval.choices - retrieval.proven);
}

void Metrics::OnFirstToken(StartTier start, double seconds) {
  first_token_by_start_.at(static_cast<size_t>(start))->Observe(seconds);
}

void Metrics::CountRpc(const std::string& method, absl::StatusCode code,
                       const std::string& message) {
  rpcs_.Add({{"method", method}, {"code", absl::StatusCodeToString(code)}}).Increment();
  if (code == absl::StatusCode::kResourceExhausted) {
    rejections_.Add({{"reason", RejectionReason(message)}}).Increment();
  } else if (code == absl::StatusCode::kUnavailable) {
    rejections_.Add({{"reason", "unavailable"}}).Increment();
  } else if (code == absl::StatusCode::kCancelled) {
    cancellations_.Add({{"reason", "client"}}).Increment();
  } else if (code == absl::StatusCode::kDeadlineExceeded) {
    cancellations_.Add({{"reason", "deadline"}}).Increment();
  }
}

const std::string& Metrics::TenantLabel(const std::string& tenant) const {
  static const auto* other = new std::string("other");
  return options_.tenants.contains(tenant) ? tenant : *other;
}

void Metrics::CountGeneration(const std::string& tenant, absl::StatusCode code) {
  tenant_generations_
      .Add({{"tenant", TenantLabel(tenant)}, {"code", absl::StatusCodeToString(code)}})
      .Increment();
}

void Metrics::CountTenantTokens(const std::string& tenant, int64_t prompt, int64_t generated) {
  const std::string& label = TenantLabel(tenant);
  const auto count = [&](const char* kind, int64_t tokens) {
    if (tokens > 0) tenant_tokens_.Add({{"tenant", label}, {"kind", kind}}).Increment(tokens);
  };
  count("prompt", prompt);
  count("generated", generated);
}

void Metrics::OnAuthFailure(const char* reason) {
  auth_failures_.Add({{"reason", reason}}).Increment();
}

void Metrics::OnFileChanged(const std::string& flag, bool taken) {
  file_changes_.Add({{"file", flag}, {"taken", taken ? "true" : "false"}}).Increment();
}

void Metrics::Watch(const Engine* engine) {
  absl::MutexLock lock(&mutex_);
  engine_ = engine;
}

absl::Status Metrics::LiveLocked() const {
  if (engine_ == nullptr) return absl::UnavailableError("no model is loaded");
  const absl::Duration silence = absl::Now() - engine_->Stats().heartbeat;
  if (silence < options_.heartbeat_timeout) return absl::OkStatus();
  return absl::UnavailableError("the engine's loop does not turn");
}

absl::Status Metrics::Live() const {
  absl::MutexLock lock(&mutex_);
  return LiveLocked();
}

absl::Status Metrics::Ready() const {
  if (draining_) return absl::UnavailableError("the server ends");
  absl::MutexLock lock(&mutex_);
  if (absl::Status live = LiveLocked(); !live.ok()) return live;
  const EngineStats stats = engine_->Stats();
  if (stats.running + stats.queued < engine_->limits().max_sequences) return absl::OkStatus();
  return absl::UnavailableError("as many requests as --max_sequences run or wait");
}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  AddDraining(draining_, &families);
  AddProcessNumbers(&families);
  AddStorageNumbers(options_.data_folder, &families);
  absl::MutexLock lock(&mutex_);
  if (engine_ != nullptr) AddEngineNumbers(engine_->Stats(), &families);
  return families;
}

}  // namespace eidetic
