// What every RPC of this server does on its way in and out.
//
// What: the services take and give bytes and parse requests themselves. gRPC would answer one
//   that does not parse (text that is not UTF-8, say) UNIMPLEMENTED, and in a stream it would
//   take it for the stream's end.
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
#include "server/grpc_status.h"

namespace eidetic {

// INVALID_ARGUMENT when `bytes` are no such message.
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message* request);
grpc::ByteBuffer ToBytes(const google::protobuf::Message& message);

// DEADLINE_EXCEEDED when nobody waits for the answer any more.
absl::Status CheckDeadline(const grpc::CallbackServerContext& context);
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

// Runs `body` on the parsed request. It submits the work, which replies later, and gives OK; or
// gives the error to reply.
template <typename Service, typename Request, typename Response>
grpc::ServerUnaryReactor* ServeUnary(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                     Service* service,
                                     absl::Status (Service::*body)(UnaryCall<Request, Response>*)) {
  auto* call = new UnaryCall<Request, Response>(out);
  absl::Status status = CheckDeadline(*context);
  if (status.ok()) status = ParseRequest(*in, call->mutable_request());
  if (status.ok()) status = (service->*body)(call);
  if (!status.ok()) call->Reply(status);
  return call;
}

}  // namespace eidetic

#endif  // EIDETIC_SERVER_RPC_H_
