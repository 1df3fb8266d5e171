// eidetic.v1.OperationService over Operations.
//
// What: as session_service.h. A wait looks again and again, a few dozen times a second.
// Thread safety: thread-safe. Ownership: borrows operations and gate, which outlive the gRPC
// server. Preconditions: none.
#ifndef EIDETIC_SERVER_OPERATION_SERVICE_H_
#define EIDETIC_SERVER_OPERATION_SERVICE_H_

#include <google/protobuf/empty.pb.h>

#include "eidetic/v1/operation_service.grpc.pb.h"
#include "server/operations.h"
#include "server/rpc.h"

namespace eidetic {

namespace operation_rpc {
using O = v1::OperationService;
using Service = O::WithRawCallbackMethod_GetOperation<O::WithRawCallbackMethod_ListOperations<
    O::WithRawCallbackMethod_CancelOperation<O::WithRawCallbackMethod_WaitOperation<O::Service>>>>;
}  // namespace operation_rpc

class OperationServiceImpl final : public operation_rpc::Service {
 public:
  OperationServiceImpl(const Operations* operations, const Gate* gate)
      : operations_(operations), gate_(gate) {}

  const Gate& gate() const { return *gate_; }

 private:
  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  absl::Status Get(UnaryCall<v1::GetOperationRequest, v1::Operation>* call);
  absl::Status List(UnaryCall<v1::ListOperationsRequest, v1::ListOperationsResponse>* call);
  absl::Status Cancel(UnaryCall<v1::CancelOperationRequest, google::protobuf::Empty>* call);
  absl::Status Wait(UnaryCall<v1::WaitOperationRequest, v1::Operation>* call);

  grpc::ServerUnaryReactor* GetOperation(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &OperationServiceImpl::Get);
  }
  grpc::ServerUnaryReactor* ListOperations(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &OperationServiceImpl::List);
  }
  grpc::ServerUnaryReactor* CancelOperation(Context* context, const Bytes* in,
                                            Bytes* out) override {
    return ServeUnary(context, in, out, this, &OperationServiceImpl::Cancel);
  }
  grpc::ServerUnaryReactor* WaitOperation(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &OperationServiceImpl::Wait);
  }

  const Operations* const operations_;
  const Gate* const gate_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_OPERATION_SERVICE_H_
