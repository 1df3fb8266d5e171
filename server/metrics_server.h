// Serves /metrics for Prometheus, and /healthz and /readyz for orchestrators.
//
// What: /healthz is 200 while the engine's loop turns, /readyz while further requests would be
//   admitted; both are 503 otherwise, with a line that says why. Nothing else is served, and
//   nobody is asked who they are.
// Thread safety: thread-safe. Ownership: owns its threads; shares the metrics.
// Preconditions: none.
#ifndef EIDETIC_SERVER_METRICS_SERVER_H_
#define EIDETIC_SERVER_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics.h"

namespace eidetic {

class MetricsServer {
 public:
  // INVALID_ARGUMENT when it can not listen on `address`.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, const std::shared_ptr<Metrics>& metrics);
  virtual ~MetricsServer() = default;

  // The port that it listens on.
  virtual int port() const = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_METRICS_SERVER_H_
