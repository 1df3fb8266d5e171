// What every RPC of this server does on its way in and out.
//
// What: the services take and give bytes and parse requests themselves. gRPC would answer one
//   that does not parse (text that is not UTF-8, say) UNIMPLEMENTED, and in a stream it would
//   take it for the stream's end. No request can be read but on behalf of a caller, who was let in
//   and may name what it names.
// Thread safety: pure functions; UnaryCall as its members say. Ownership: a UnaryCall deletes
//   itself when gRPC is done with it, which is after Reply. Preconditions: each UnaryCall gets
//   exactly one Reply.
#ifndef EIDETIC_SERVER_RPC_H_
#define EIDETIC_SERVER_RPC_H_

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/grpc_status.h"
#include "server/identity/caller.h"
#include "server/identity/gate.h"

namespace eidetic {

// Every call begins with it: who calls. DEADLINE_EXCEEDED when nobody waits for the answer any
// more; UNAUTHENTICATED.
absl::StatusOr<Caller> BeginCall(const grpc::CallbackServerContext& context, const Gate& gate);
// One request of a call. INVALID_ARGUMENT when `bytes` are no such message; NOT_FOUND when it names
// what is not the caller's.
absl::Status ReadRequest(const Caller& caller, const grpc::ByteBuffer& bytes,
                         google::protobuf::Message* request);
grpc::ByteBuffer ToBytes(const google::protobuf::Message& message);

// Why a call was cancelled: its deadline passed, or its client left.
absl::Status CancelledStatus(const grpc::CallbackServerContext& context);

template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(grpc::ByteBuffer* out) : out_(out) {}

  const Request& request() const { return request_; }
  Request* mutable_request() { return &request_; }
  // Becomes true when the client leaves.
  std::shared_ptr<std::atomic<bool>> cancelled() const { return cancelled_; }

  // Ends the call, from any thread; the call may be gone afterwards.
  void Reply(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void Reply(const Response& response) {
    *out_ = ToBytes(response);
    Finish(grpc::Status::OK);
  }

 private:
  void OnCancel() override { *cancelled_ = true; }
  void OnDone() override { delete this; }

  grpc::ByteBuffer* const out_;
  Request request_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

// Runs `body` on the request that was read. It submits the work, which replies later, and gives OK;
// or gives the error to reply.
template <typename Service, typename Request, typename Response>
grpc::ServerUnaryReactor* ServeUnary(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                     Service* service,
                                     absl::Status (Service::*body)(UnaryCall<Request, Response>*)) {
  auto* call = new UnaryCall<Request, Response>(out);
  const absl::StatusOr<Caller> caller = BeginCall(*context, service->gate());
  absl::Status status = caller.status();
  if (status.ok()) status = ReadRequest(*caller, *in, call->mutable_request());
  if (status.ok()) status = (service->*body)(call);
  if (!status.ok()) call->Reply(status);
  return call;
}

}  // namespace eidetic

#endif  // EIDETIC_SERVER_RPC_H_
