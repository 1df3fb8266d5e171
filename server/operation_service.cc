#include "server/operation_service.h"

#include <grpcpp/alarm.h>

#include <utility>

#include "absl/time/clock.h"
#include "engine/session_name.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

constexpr absl::Duration kMaxWait = absl::Minutes(1);
constexpr absl::Duration kLook = absl::Milliseconds(25);

using WaitCall = UnaryCall<v1::WaitOperationRequest, v1::Operation>;

// Answers `call` when it is time, then deletes itself.
class Waiter {
 public:
  Waiter(WaitCall* call, std::shared_ptr<WarmOperation> operation, absl::Time end)
      : call_(call), operation_(std::move(operation)), end_(end), left_(call->cancelled()) {}

  void Look() {
    const absl::Time now = absl::Now();
    if (operation_->done() || now >= end_ || *left_) {
      call_->Reply(operation_->ToProto());
      delete this;
      return;
    }
    // A new one each time: the last one's callback is what runs here.
    alarm_ = std::make_unique<grpc::Alarm>();
    alarm_->Set(absl::ToChronoTime(std::min(end_, now + kLook)), [this](bool) { Look(); });
  }

 private:
  WaitCall* const call_;
  const std::shared_ptr<WarmOperation> operation_;
  const absl::Time end_;
  const std::shared_ptr<std::atomic<bool>> left_;
  std::unique_ptr<grpc::Alarm> alarm_;
};

}  // namespace

absl::Status OperationServiceImpl::Get(UnaryCall<v1::GetOperationRequest, v1::Operation>* call) {
  const auto operation = operations_->Find(call->request().name());
  if (!operation.ok()) return operation.status();
  call->Reply((*operation)->ToProto());
  return absl::OkStatus();
}

absl::Status OperationServiceImpl::List(
    UnaryCall<v1::ListOperationsRequest, v1::ListOperationsResponse>* call) {
  const auto tenant = SessionName::ParseTenant(call->request().parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  v1::ListOperationsResponse response;
  for (v1::Operation& operation : operations_->List(*tenant)) {
    *response.add_operations() = std::move(operation);
  }
  call->Reply(response);
  return absl::OkStatus();
}

absl::Status OperationServiceImpl::Cancel(
    UnaryCall<v1::CancelOperationRequest, google::protobuf::Empty>* call) {
  const auto operation = operations_->Find(call->request().name());
  if (!operation.ok()) return operation.status();
  (*operation)->Cancel();
  call->Reply(google::protobuf::Empty());
  return absl::OkStatus();
}

absl::Status OperationServiceImpl::Wait(WaitCall* call) {
  const v1::WaitOperationRequest& request = call->request();
  absl::Duration timeout = kMaxWait;
  if (request.has_timeout()) {
    timeout =
        absl::Seconds(request.timeout().seconds()) + absl::Nanoseconds(request.timeout().nanos());
  }
  if (timeout < absl::ZeroDuration() || timeout > kMaxWait) {
    return InvalidField("timeout", "must be from 0 to a minute; ask again to wait longer");
  }
  const auto operation = operations_->Find(request.name());
  if (!operation.ok()) return operation.status();
  (new Waiter(call, *operation, absl::Now() + timeout))->Look();
  return absl::OkStatus();
}

}  // namespace eidetic
