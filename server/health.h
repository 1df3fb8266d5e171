// Tells grpc.health.v1 whether the engine's loop still turns.
//
// What: a thread that looks at the loop's heartbeat. While it is younger than the timeout, ""
//   and every service of the contract are SERVING; else NOT_SERVING.
// Thread safety: thread-safe. Ownership: owns its thread; borrows engine and health service,
//   which outlive it. Preconditions: `timeout` > 0.
#ifndef EIDETIC_SERVER_HEALTH_H_
#define EIDETIC_SERVER_HEALTH_H_

#include <grpcpp/health_check_service_interface.h>

#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/engine.h"

namespace eidetic {

class HealthWatcher {
 public:
  // When it returns, the first look has been taken.
  HealthWatcher(const Engine* engine, grpc::HealthCheckServiceInterface* health,
                absl::Duration timeout);
  ~HealthWatcher() { Stop(); }

  // NOT_SERVING from now on.
  void Stop();

 private:
  void Look();
  void Run();

  const Engine* const engine_;
  grpc::HealthCheckServiceInterface* const health_;
  const absl::Duration timeout_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_HEALTH_H_
