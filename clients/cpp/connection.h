// What a client, its sessions and its streams share: stubs, options, and the calls
// in flight, so that all can be cancelled at once. Internal to the library.
//
// Thread safety: thread-safe.
// Ownership: held by shared_ptr; outlives every call made through it.
// Preconditions: the channel is not null.
#ifndef EIDETIC_CLIENTS_CPP_CONNECTION_H_
#define EIDETIC_CLIENTS_CPP_CONNECTION_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "clients/cpp/status_details.h"
#include "eidetic/v1/generation_service.grpc.pb.h"
#include "eidetic/v1/model_service.grpc.pb.h"
#include "eidetic/v1/operation_service.grpc.pb.h"
#include "eidetic/v1/session_service.grpc.pb.h"

namespace eidetic::client {

// PEM texts, not paths.
struct TlsOptions {
  std::string ca = "";  // whom to trust; empty: the system's
  // To show the server; both or none.
  std::string certificate = "", key = "";
};

struct ClientOptions {
  // Sessions are made, listed and found under this tenant.
  std::string tenant = "default";
  // Of a call with one answer.
  absl::Duration deadline = absl::Minutes(2);
  // Of a generation or an append, from its beginning to its end.
  absl::Duration stream_deadline = absl::InfiniteDuration();
  // Tokens that the server may send in one message when a stream is behind, unless a request
  // says so itself; 1 to 1024. TokenStream gives them one by one all the same.
  int32_t max_message_tokens = 64;
  // An API key or a token that every call shows; empty: none.
  std::string credential = "";
  // For Client::Connect; none: plain TCP.
  std::optional<TlsOptions> tls = std::nullopt;
};

class Connection {
 public:
  Connection(const std::shared_ptr<grpc::Channel>& channel, ClientOptions options);

  // One call's context, within reach of Cancel() while it lives (when `cancellable`).
  class Call {
   public:
    Call(Connection* connection, absl::Duration deadline, bool cancellable = true);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    grpc::ClientContext* context() { return &context_; }

   private:
    Connection* const connection_;
    grpc::ClientContext context_;
  };

  // Makes a call with one answer, under the default deadline.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(Stub& stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request, bool cancellable = true) {
    Call call(this, options_.deadline, cancellable);
    Response response;
    absl::Status status = ToAbslStatus((stub.*method)(call.context(), request, &response));
    if (!status.ok()) return status;
    return response;
  }

  // Cancels every cancellable call, those in flight and those to come.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits; false at once when the connection is cancelled.
  bool SleepUnlessCancelled(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

  // tenants/{tenant}/sessions/{id}, unless `id_or_name` is such a name already.
  std::string SessionName(const std::string& id_or_name) const;
  // "" for "".
  std::string AdapterName(const std::string& id_or_name) const;
  std::string TenantName() const { return "tenants/" + options_.tenant; }

  const ClientOptions& options() const { return options_; }
  v1::SessionService::Stub& sessions() { return *sessions_; }
  v1::GenerationService::Stub& generation() { return *generation_; }
  v1::ModelService::Stub& models() { return *models_; }
  v1::OperationService::Stub& operations() { return *operations_; }

 private:
  const ClientOptions options_;
  const std::unique_ptr<v1::SessionService::Stub> sessions_;
  const std::unique_ptr<v1::GenerationService::Stub> generation_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::OperationService::Stub> operations_;
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_CONNECTION_H_
