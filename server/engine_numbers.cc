#include "server/engine_numbers.h"

#include <utility>

namespace eidetic {
namespace {

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
    {"eidetic_journal_commits_total", "Syncs of the journal.", nullptr,
     &EngineStats::journal_commits, prometheus::MetricType::Counter},
    {"eidetic_journal_bytes_total", "Bytes of keys and values that the journal made durable.",
     nullptr, &EngineStats::journal_bytes, prometheus::MetricType::Counter},
    {"eidetic_journal_waiting_bytes", "Bytes recorded that are not durable yet.", nullptr,
     &EngineStats::journal_waiting_bytes},
    {"eidetic_promoted_bytes_total", "Bytes copied from host memory for them.", nullptr,
     &EngineStats::promoted_bytes, prometheus::MetricType::Counter},
};

}  // namespace

void AddEngineNumbers(const EngineStats& stats, std::vector<prometheus::MetricFamily>* families) {
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

}  // namespace eidetic
