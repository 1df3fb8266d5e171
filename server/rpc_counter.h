// Counts every RPC by method and code, in one place: where gRPC sends a status. Logs those that
// failed.
//
// What: but for Generate, which counts itself. To a call with an interceptor each write comes back
//   from gRPC's core a second time, and Generate writes every token.
// Thread safety: thread-safe. Ownership: borrows the metrics, which outlive the gRPC server.
// Preconditions: none.
#ifndef EIDETIC_SERVER_RPC_COUNTER_H_
#define EIDETIC_SERVER_RPC_COUNTER_H_

#include <grpcpp/support/server_interceptor.h>

#include <set>
#include <string>

#include "server/metrics.h"

namespace eidetic {

inline constexpr char kGenerateMethod[] = "/eidetic.v1.GenerationService/Generate";

class RpcCounterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit RpcCounterFactory(Metrics* metrics);
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  Metrics* const metrics_;
  // A client may call anything; a label may not be anything.
  std::set<std::string> known_methods_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_RPC_COUNTER_H_
