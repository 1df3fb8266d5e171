// eidetic.v1.SessionService over an Engine.
//
// What: each RPC is parse, submit, reply; see rpc.h for why it takes bytes.
// Thread safety: thread-safe. Ownership: borrows the served model, which outlives the gRPC
//   server. Preconditions: none.
#ifndef EIDETIC_SERVER_SESSION_SERVICE_H_
#define EIDETIC_SERVER_SESSION_SERVICE_H_

#include <google/protobuf/empty.pb.h>

#include "eidetic/v1/session_service.grpc.pb.h"
#include "server/rpc.h"
#include "server/served_model.h"

namespace eidetic {

namespace session_rpc {
using S = v1::SessionService;
template <typename Base>
using Unary = S::WithRawCallbackMethod_CreateSession<S::WithRawCallbackMethod_GetSession<
    S::WithRawCallbackMethod_ListSessions<S::WithRawCallbackMethod_DeleteSession<
        S::WithRawCallbackMethod_ForkSession<S::WithRawCallbackMethod_SearchMemory<Base>>>>>>;
using Service = Unary<S::WithRawCallbackMethod_AppendSession<S::Service>>;
}  // namespace session_rpc

class SessionServiceImpl final : public session_rpc::Service {
 public:
  explicit SessionServiceImpl(const ServedModel* served) : served_(served) {}

 private:
  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  absl::Status Create(UnaryCall<v1::CreateSessionRequest, v1::Session>* call);
  absl::Status Get(UnaryCall<v1::GetSessionRequest, v1::Session>* call);
  absl::Status List(UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>* call);
  absl::Status Delete(UnaryCall<v1::DeleteSessionRequest, google::protobuf::Empty>* call);
  absl::Status Fork(UnaryCall<v1::ForkSessionRequest, v1::Session>* call);
  absl::Status Search(UnaryCall<v1::SearchMemoryRequest, v1::SearchMemoryResponse>* call);

  grpc::ServerUnaryReactor* CreateSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Create);
  }
  grpc::ServerUnaryReactor* GetSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Get);
  }
  grpc::ServerUnaryReactor* ListSessions(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::List);
  }
  grpc::ServerUnaryReactor* DeleteSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Delete);
  }
  grpc::ServerUnaryReactor* ForkSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Fork);
  }
  grpc::ServerUnaryReactor* SearchMemory(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Search);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* AppendSession(Context* context) override;

  const ServedModel* const served_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SESSION_SERVICE_H_
