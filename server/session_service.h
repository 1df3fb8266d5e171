// eidetic.v1.SessionService over an Engine.
//
// What: each RPC is parse, submit, reply; see rpc.h for why it takes bytes.
// Thread safety: thread-safe. Ownership: borrows served model and operations, which outlive the
// gRPC
//   server. Preconditions: none.
#ifndef EIDETIC_SERVER_SESSION_SERVICE_H_
#define EIDETIC_SERVER_SESSION_SERVICE_H_

#include <google/protobuf/empty.pb.h>

#include "eidetic/v1/session_service.grpc.pb.h"
#include "server/export_reactor.h"
#include "server/import_reactor.h"
#include "server/operations.h"
#include "server/rpc.h"
#include "server/served_model.h"

namespace eidetic {

namespace session_rpc {
using S = v1::SessionService;
template <typename Base>
using Unary = S::WithRawCallbackMethod_CreateSession<S::WithRawCallbackMethod_GetSession<
    S::WithRawCallbackMethod_ListSessions<S::WithRawCallbackMethod_DeleteSession<
        S::WithRawCallbackMethod_ForkSession<S::WithRawCallbackMethod_SearchMemory<Base>>>>>>;
template <typename Base>
using Whole = S::WithRawCallbackMethod_RewindSession<S::WithRawCallbackMethod_SnapshotSession<
    S::WithRawCallbackMethod_ListSnapshots<S::WithRawCallbackMethod_DeleteSnapshot<
        S::WithRawCallbackMethod_RestoreSession<S::WithRawCallbackMethod_WarmSession<Base>>>>>>;
template <typename Base>
using Streams = S::WithRawCallbackMethod_AppendSession<
    S::WithRawCallbackMethod_ExportSession<S::WithRawCallbackMethod_ImportSession<Base>>>;
using Service = Unary<Whole<Streams<S::Service>>>;
}  // namespace session_rpc

class SessionServiceImpl final : public session_rpc::Service {
 public:
  SessionServiceImpl(const ServedModel* served, Operations* operations, int64_t max_import_bytes)
      : served_(served), operations_(operations), imports_{.max_bytes = max_import_bytes} {}

  const Gate& gate() const { return *served_->gate; }

 private:
  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  absl::Status Create(UnaryCall<v1::CreateSessionRequest, v1::Session>* call);
  absl::Status Get(UnaryCall<v1::GetSessionRequest, v1::Session>* call);
  absl::Status List(UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>* call);
  absl::Status Delete(UnaryCall<v1::DeleteSessionRequest, google::protobuf::Empty>* call);
  absl::Status Fork(UnaryCall<v1::ForkSessionRequest, v1::Session>* call);
  absl::Status Search(UnaryCall<v1::SearchMemoryRequest, v1::SearchMemoryResponse>* call);

  absl::Status Rewind(UnaryCall<v1::RewindSessionRequest, v1::Session>* call);
  absl::Status Snapshot(UnaryCall<v1::SnapshotSessionRequest, v1::Snapshot>* call);
  absl::Status ListPoints(UnaryCall<v1::ListSnapshotsRequest, v1::ListSnapshotsResponse>* call);
  absl::Status DeletePoint(UnaryCall<v1::DeleteSnapshotRequest, google::protobuf::Empty>* call);
  absl::Status Restore(UnaryCall<v1::RestoreSessionRequest, v1::Session>* call);
  absl::Status Warm(UnaryCall<v1::WarmSessionRequest, v1::Operation>* call);

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
  grpc::ServerUnaryReactor* RewindSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Rewind);
  }
  grpc::ServerUnaryReactor* SnapshotSession(Context* context, const Bytes* in,
                                            Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Snapshot);
  }
  grpc::ServerUnaryReactor* ListSnapshots(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::ListPoints);
  }
  grpc::ServerUnaryReactor* DeleteSnapshot(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::DeletePoint);
  }
  grpc::ServerUnaryReactor* RestoreSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Restore);
  }
  grpc::ServerUnaryReactor* WarmSession(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &SessionServiceImpl::Warm);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* AppendSession(Context* context) override;
  grpc::ServerWriteReactor<Bytes>* ExportSession(Context* context, const Bytes* in) override {
    return ExportReactor::Start(context, *in, served_);
  }
  grpc::ServerReadReactor<Bytes>* ImportSession(Context* context, Bytes* out) override {
    return ImportReactor::Start(context, out, served_, &imports_);
  }

  const ServedModel* const served_;
  Operations* const operations_;
  ImportLimits imports_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SESSION_SERVICE_H_
