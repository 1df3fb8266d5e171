#include "server/process_numbers.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace eidetic {
namespace {

using Clock = std::chrono::system_clock;
// Close enough to the process' start: it is set before main.
const double kStartSeconds = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();

void Add(const char* name, const char* help, prometheus::MetricType type, double value,
         std::vector<prometheus::MetricFamily>* families) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  families->push_back({name, help, type, {std::move(metric)}});
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

void AddProcessNumbers(std::vector<prometheus::MetricFamily>* families) {
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  int64_t pages = 0, resident = 0;
  if (std::ifstream("/proc/self/statm") >> pages >> resident) {
    Add("process_resident_memory_bytes", "Resident memory.", kGauge,
        static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)), families);
  }
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (!error) {
    Add("process_open_fds", "Open file descriptors.", kGauge,
        static_cast<double>(std::distance(open, {})), families);
  }
  if (rlimit limit{}; getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Add("process_max_fds", "File descriptors that may be open.", kGauge,
        static_cast<double>(limit.rlim_cur), families);
  }
  if (rusage used{}; getrusage(RUSAGE_SELF, &used) == 0) {
    Add("process_cpu_seconds_total", "CPU time, of the user and of the system.",
        prometheus::MetricType::Counter, Seconds(used.ru_utime) + Seconds(used.ru_stime), families);
  }
  Add("process_start_time_seconds", "The process' start, since 1970.", kGauge, kStartSeconds,
      families);
}

void AddStorageNumbers(const std::filesystem::path& folder,
                       std::vector<prometheus::MetricFamily>* families) {
  if (folder.empty()) return;
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error) return;
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  Add("eidetic_storage_free_bytes", "Free space on the disk with the data folder.", kGauge,
      static_cast<double>(space.available), families);
  Add("eidetic_storage_capacity_bytes", "Space of the disk with the data folder.", kGauge,
      static_cast<double>(space.capacity), families);
}

}  // namespace eidetic
