#include "server/health.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "eidetic/v1/generation_service.grpc.pb.h"
#include "eidetic/v1/model_service.grpc.pb.h"
#include "eidetic/v1/operation_service.grpc.pb.h"
#include "eidetic/v1/session_service.grpc.pb.h"

namespace eidetic {

HealthWatcher::HealthWatcher(const Engine* engine, grpc::HealthCheckServiceInterface* health,
                             absl::Duration timeout)
    : engine_(engine), health_(health), timeout_(timeout) {
  CHECK_GT(timeout_, absl::ZeroDuration());
  Look();
  thread_ = std::thread([this] { Run(); });
}

void HealthWatcher::Look() {
  const bool serving = absl::Now() - engine_->Stats().heartbeat < timeout_;
  health_->SetServingStatus("", serving);
  health_->SetServingStatus(v1::SessionService::service_full_name(), serving);
  health_->SetServingStatus(v1::GenerationService::service_full_name(), serving);
  health_->SetServingStatus(v1::ModelService::service_full_name(), serving);
  health_->SetServingStatus(v1::OperationService::service_full_name(), serving);
}

void HealthWatcher::Run() {
  const absl::Duration interval = std::min(timeout_ / 4, absl::Seconds(1));
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopped_), interval)) Look();
}

void HealthWatcher::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  thread_.join();
  health_->Shutdown();
}

}  // namespace eidetic
