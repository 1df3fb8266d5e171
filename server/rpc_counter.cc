#include "server/rpc_counter.h"

#include <glog/logging.h>
#include <google/protobuf/descriptor.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "eidetic/v1/generation_service.grpc.pb.h"
#include "eidetic/v1/model_service.grpc.pb.h"
#include "eidetic/v1/operation_service.grpc.pb.h"
#include "eidetic/v1/session_service.grpc.pb.h"
#include "server/call_log.h"

namespace eidetic {
namespace {

class RpcCounter final : public grpc::experimental::Interceptor {
 public:
  RpcCounter(Metrics* metrics, std::string method, const grpc::ServerContextBase* context)
      : metrics_(metrics), method_(std::move(method)), context_(context) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      // absl's codes and gRPC's have the same numbers.
      const grpc::Status status = methods->GetSendStatus();
      const auto code = absl::StatusCode(status.error_code());
      metrics_->CountRpc(method_, code, status.error_message());
      if (!status.ok()) Log(code);
    }
    methods->Proceed();
  }

 private:
  // What went well is counted alone.
  void Log(absl::StatusCode code) const {
    LogCall({.method = method_,
             .code = code,
             .time = absl::Now() - begin_,
             .trace_id = TraceIdOf(context_->client_metadata())});
  }

  Metrics* const metrics_;
  const std::string method_;
  const grpc::ServerContextBase* const context_;
  const absl::Time begin_ = absl::Now();
};

}  // namespace

RpcCounterFactory::RpcCounterFactory(Metrics* metrics) : metrics_(metrics) {
  for (const char* name :
       {v1::SessionService::service_full_name(), v1::GenerationService::service_full_name(),
        v1::ModelService::service_full_name(), v1::OperationService::service_full_name()}) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    CHECK(service != nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      known_methods_.insert(absl::StrCat("/", name, "/", service->method(i)->name()));
    }
  }
  known_methods_.insert("/grpc.health.v1.Health/Check");
  known_methods_.insert("/grpc.health.v1.Health/Watch");
}

grpc::experimental::Interceptor* RpcCounterFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  const std::string method = info->method();
  if (method == kGenerateMethod) return nullptr;
  return new RpcCounter(metrics_, known_methods_.contains(method) ? method : "other",
                        info->server_context());
}

}  // namespace eidetic
