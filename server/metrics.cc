#include "server/metrics.h"

#include <prometheus/gauge.h>
#include <prometheus/metric_family.h>

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/version.h"

namespace eidetic {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// In seconds, from one step of a small model to a request that waits for others.
const Buckets& RequestBuckets() {
  static const auto* buckets =
      new Buckets{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
  return *buckets;
}

const Buckets& StepBuckets() {
  static const auto* buckets =
      new Buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};
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

// A number that is read when the page is asked for.
struct StatsNumber {
  const char* name;
  const char* help;
  const char* kind;  // label, or null
  int64_t EngineStats::*value;
  prometheus::MetricType type = prometheus::MetricType::Gauge;
};
constexpr StatsNumber kStatsNumbers[] = {
    {"eidetic_requests_running", "Requests that take part in steps.", nullptr,
     &EngineStats::running},
    {"eidetic_requests_queued", "Requests that wait for their first step.", nullptr,
     &EngineStats::queued},
    {"eidetic_sessions", "Sessions that exist.", nullptr, &EngineStats::sessions},
    {"eidetic_pages_used", "Pages that hold something.", "kv", &EngineStats::pages_used},
    {"eidetic_pages_used", "", "kv_host", &EngineStats::host_pages_used},
    {"eidetic_pages_used", "", "index", &EngineStats::tiles_used},
    {"eidetic_pages_capacity", "Pages that there are.", "kv", &EngineStats::pages_total},
    {"eidetic_pages_capacity", "", "kv_host", &EngineStats::host_pages_total},
    {"eidetic_pages_capacity", "", "index", &EngineStats::tiles_total},
    {"eidetic_state_slots_used", "State slots taken.", nullptr, &EngineStats::slots_used},
    {"eidetic_state_slots_capacity", "State slots that there are.", nullptr,
     &EngineStats::slots_total},
    {"eidetic_promoted_pages", "Pages that hold a copy of one in host memory.", nullptr,
     &EngineStats::promoted_pages},
    {"eidetic_span_choices_total",
     "Blocks chosen for spans in sessions with pages in host memory, by where they were read.",
     "kv", &EngineStats::device_choices, prometheus::MetricType::Counter},
    {"eidetic_span_choices_total", "", "kv_host", &EngineStats::host_choices,
     prometheus::MetricType::Counter},
    {"eidetic_pages_promoted_total", "Copies of pages in host memory that came into use.", nullptr,
     &EngineStats::pages_promoted, prometheus::MetricType::Counter},
    {"eidetic_pages_dropped_total", "Copies of pages in host memory that were given up.", nullptr,
     &EngineStats::pages_dropped, prometheus::MetricType::Counter},
    {"eidetic_sessions_asleep", "Sessions whose memory is on the disk alone, or not computed.",
     nullptr, &EngineStats::sessions_asleep},
    {"eidetic_sessions_expired_total", "Sessions deleted because nothing used them.", nullptr,
     &EngineStats::sessions_expired, prometheus::MetricType::Counter},
    {"eidetic_tier_sessions", "Sessions, by the furthest tier of their memory.", "device",
     &EngineStats::device_sessions},
    {"eidetic_tier_sessions", "", "host", &EngineStats::host_sessions},
    {"eidetic_tier_sessions", "", "disk", &EngineStats::disk_sessions},
    {"eidetic_tier_moved_bytes_total", "Bytes moved between tiers.", "device_to_host",
     &EngineStats::moved_bytes, prometheus::MetricType::Counter},
    {"eidetic_tier_moved_bytes_total", "", "host_to_device", &EngineStats::promoted_bytes,
     prometheus::MetricType::Counter},
    {"eidetic_tier_moved_bytes_total", "", "to_disk", &EngineStats::checkpoint_bytes,
     prometheus::MetricType::Counter},
    {"eidetic_tier_moved_bytes_total", "", "from_disk", &EngineStats::loaded_bytes,
     prometheus::MetricType::Counter},
    {"eidetic_pages_moved_to_host_total", "Pages moved from the device to host memory.", nullptr,
     &EngineStats::pages_moved, prometheus::MetricType::Counter},
    {"eidetic_sessions_slept_total", "Sessions that gave their memory back, by why.", "rested",
     &EngineStats::sessions_slept, prometheus::MetricType::Counter},
    {"eidetic_sessions_slept_total", "", "pressure", &EngineStats::sessions_pushed,
     prometheus::MetricType::Counter},
    {"eidetic_recomputed_tokens_total", "Tokens that were computed again.", nullptr,
     &EngineStats::recomputed_tokens, prometheus::MetricType::Counter},
    {"eidetic_state_checkpoint_bytes", "Bytes of state checkpoints in the host's memory.", nullptr,
     &EngineStats::state_point_bytes, prometheus::MetricType::Gauge},
    {"eidetic_checkpoints_total", "Checkpoints, by what became of them.", "written",
     &EngineStats::checkpoints_written, prometheus::MetricType::Counter},
    {"eidetic_checkpoints_total", "", "failed", &EngineStats::checkpoints_failed,
     prometheus::MetricType::Counter},
    {"eidetic_checkpoints_total", "", "refused", &EngineStats::checkpoints_refused,
     prometheus::MetricType::Counter},
    {"eidetic_checkpoints_total", "", "loaded", &EngineStats::sessions_loaded,
     prometheus::MetricType::Counter},
    {"eidetic_integrity_errors_total", "Sessions and checkpoints that were found damaged.", nullptr,
     &EngineStats::integrity_errors, prometheus::MetricType::Counter},
    {"eidetic_checkpoint_written_bytes_total", "Bytes written for checkpoints.", nullptr,
     &EngineStats::checkpoint_bytes, prometheus::MetricType::Counter},
    {"eidetic_checkpoint_stored_bytes", "Bytes that checkpoints take on the disk.", nullptr,
     &EngineStats::stored_bytes},
    {"eidetic_promoted_bytes_total", "Bytes copied from host memory for them.", nullptr,
     &EngineStats::promoted_bytes, prometheus::MetricType::Counter},
};

void AddStatsNumbers(const EngineStats& stats, std::vector<prometheus::MetricFamily>* families) {
  for (const StatsNumber& number : kStatsNumbers) {
    if (families->empty() || families->back().name != number.name) {
      families->push_back({number.name, number.help, number.type, {}});
    }
    prometheus::ClientMetric metric;
    if (number.kind != nullptr) metric.label.push_back({"kind", number.kind});
    const auto value = static_cast<double>(stats.*number.value);
    if (number.type == prometheus::MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families->back().metric.push_back(std::move(metric));
  }
}

}  // namespace

Metrics::Metrics(const std::string& model, const std::string& backend)
    : first_token_seconds_(HistogramFamily(registry_, "eidetic_time_to_first_token_seconds",
                                           "From a request's admission to its first token.")
                               .Add({}, RequestBuckets())),
      inter_token_seconds_(HistogramFamily(registry_, "eidetic_inter_token_seconds",
                                           "Between two tokens of one answer.")
                               .Add({}, StepBuckets())),
      queue_seconds_(HistogramFamily(registry_, "eidetic_queue_seconds",
                                     "From a request's admission to its first step.")
                         .Add({}, RequestBuckets())),
      wake_seconds_(HistogramFamily(registry_, "eidetic_session_wake_seconds",
                                    "Loading the memory of a session that slept.")
                        .Add({}, RequestBuckets())),
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
      auth_failures_(CounterFamily(registry_, "eidetic_auth_failures_total",
                                   "Calls answered UNAUTHENTICATED, by what was wrong.")),
      file_changes_(CounterFamily(registry_, "eidetic_identity_file_changes_total",
                                  "Changes of files that tell who calls, by whether the new "
                                  "version was taken.")) {
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

void Metrics::CountRpc(const std::string& method, absl::StatusCode code) {
  rpcs_.Add({{"method", method}, {"code", absl::StatusCodeToString(code)}}).Increment();
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

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  absl::MutexLock lock(&mutex_);
  if (engine_ != nullptr) AddStatsNumbers(engine_->Stats(), &families);
  return families;
}

absl::StatusOr<std::unique_ptr<prometheus::Exposer>> ServeMetrics(
    const std::string& address, const std::shared_ptr<Metrics>& metrics) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address);
    exposer->RegisterCollectable(metrics);
    return exposer;
  } catch (const std::exception&) {  // its only way to say that it can not listen
    return absl::InvalidArgumentError(
        absl::StrCat("metrics_address: can not listen on ", address,
                     "; is the port taken? Give another host:port, or \"\" for no metrics"));
  }
}

}  // namespace eidetic
