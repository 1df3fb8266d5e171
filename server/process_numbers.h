// Numbers of the process and of its disk, read when the metrics page is asked for.
//
// Thread safety: thread-safe. Ownership: none. Preconditions: Linux's /proc.
#ifndef EIDETIC_SERVER_PROCESS_NUMBERS_H_
#define EIDETIC_SERVER_PROCESS_NUMBERS_H_

#include <prometheus/metric_family.h>

#include <filesystem>
#include <vector>

namespace eidetic {

// Under the names that Prometheus' own client libraries give them. What can not be read is left
// out.
void AddProcessNumbers(std::vector<prometheus::MetricFamily>* families);
// eidetic_storage_free_bytes and _capacity_bytes of the disk with `folder`; nothing for "".
void AddStorageNumbers(const std::filesystem::path& folder,
                       std::vector<prometheus::MetricFamily>* families);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_PROCESS_NUMBERS_H_
