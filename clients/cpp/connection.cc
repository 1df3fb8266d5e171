#include "clients/cpp/connection.h"

namespace eidetic::client {

Connection::Connection(const std::shared_ptr<grpc::Channel>& channel, ClientOptions options)
    : options_(std::move(options)),
      sessions_(v1::SessionService::NewStub(channel)),
      generation_(v1::GenerationService::NewStub(channel)),
      models_(v1::ModelService::NewStub(channel)),
      operations_(v1::OperationService::NewStub(channel)) {}

Connection::Call::Call(Connection* connection, absl::Duration deadline, bool cancellable)
    : connection_(connection) {
  const std::string& credential = connection_->options().credential;
  if (!credential.empty()) context_.AddMetadata("authorization", "Bearer " + credential);
  if (deadline != absl::InfiniteDuration()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
  }
  if (!cancellable) return;
  absl::MutexLock lock(&connection_->mutex_);
  connection_->contexts_.insert(&context_);
  // Takes effect when the call begins.
  if (connection_->cancelled_) context_.TryCancel();
}

Connection::Call::~Call() {
  absl::MutexLock lock(&connection_->mutex_);
  connection_->contexts_.erase(&context_);
}

void Connection::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

bool Connection::SleepUnlessCancelled(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&cancelled_), duration);
}

std::string Connection::SessionName(const std::string& id_or_name) const {
  if (id_or_name.find('/') != std::string::npos) return id_or_name;
  return TenantName() + "/sessions/" + id_or_name;
}

std::string Connection::AdapterName(const std::string& id_or_name) const {
  if (id_or_name.empty() || id_or_name.find('/') != std::string::npos) return id_or_name;
  return TenantName() + "/adapters/" + id_or_name;
}

}  // namespace eidetic::client
