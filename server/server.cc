#include "server/server.h"

#include <glog/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/server_builder.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/identity/tenant_quotas_file.h"
#include "server/identity/tls.h"
#include "server/rpc_counter.h"

namespace eidetic {
namespace {

// The reflection library registers itself for every server once it is linked.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return dynamic_cast<grpc::reflection::ProtoServerReflectionPlugin*>(plugin.get()) != nullptr;
    });
  }
};

void SetLimits(const ServerOptions& options, grpc::ServerBuilder* builder) {
  constexpr int kKeepaliveTimeoutMillis = 10'000;
  builder->SetMaxReceiveMessageSize(options.max_request_bytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  const int keepalive_millis = absl::ToInt64Milliseconds(options.keepalive_time);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_millis);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  // Otherwise a second server would share the port in silence.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

// How often the file of quotas is looked at.
constexpr absl::Duration kQuotasPeriod = absl::Seconds(1);

void TellOfQuotas(const std::string& flag, const absl::Status& status) {
  if (status.ok()) {
    LOG(INFO) << "--" << flag << " has changed and holds from now on";
  } else {
    LOG(ERROR) << status << "; what it said before holds on";
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<EideticServer>> EideticServer::Start(ServedModel served,
                                                                    Metrics* metrics,
                                                                    const ServerOptions& options) {
  absl::Status status = CheckIdentityOptions(options.identity, options.address);
  if (!status.ok()) return status;
  if (options.identity.asks() && options.identity.tls_certificate.empty() &&
      !IsLoopback(options.address)) {
    LOG(WARNING) << "keys and tokens come to " << options.address
                 << " in plain text; give --tls_certificate and --tls_key, unless something before "
                    "this port has TLS";
  }
  auto gate = Gate::Create(options.identity, metrics);
  if (!gate.ok()) return gate.status();
  std::unique_ptr<EideticServer> server(
      new EideticServer(std::move(served), *std::move(gate), metrics, options));
  status = server->WatchQuotas(options.tenant_quotas);
  if (!status.ok()) return status;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  if (!options.enable_reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  SetLimits(options, &builder);
  builder.AddListeningPort(options.address, MakeServerCredentials(options.identity),
                           &server->port_);
  builder.RegisterService(&server->sessions_);
  builder.RegisterService(&server->generation_);
  builder.RegisterService(&server->models_);
  builder.RegisterService(&server->operation_service_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<RpcCounterFactory>(metrics));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));

  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    return absl::InvalidArgumentError(absl::StrCat("address: can not listen on ", options.address,
                                                   "; is the port taken? Give another host:port"));
  }
  server->health_ = std::make_unique<HealthWatcher>(
      server->served_.engine, server->server_->GetHealthCheckService(), options.heartbeat_timeout);
  return server;
}

absl::Status EideticServer::WatchQuotas(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  quotas_ = std::make_unique<FileWatcher>(TellOfQuotas);
  absl::Status status =
      quotas_->Watch("tenant_quotas", path, [engine = served_.engine](const std::string& bytes) {
        auto quotas = ParseTenantQuotas(bytes);
        if (quotas.ok()) engine->SetQuotas(*std::move(quotas));
        return quotas.status();
      });
  if (status.ok()) quotas_->Start(kQuotasPeriod);
  return status;
}

EideticServer::~EideticServer() {
  quotas_.reset();
  Shutdown(absl::ZeroDuration());
  stream_threads_->Stop();
}

void EideticServer::Shutdown(absl::Duration grace) {
  metrics_->OnDraining();
  if (health_ != nullptr) health_->Stop();
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
}

}  // namespace eidetic
