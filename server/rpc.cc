#include "server/rpc.h"

#include <glog/logging.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/identity/resource_check.h"

namespace eidetic {
namespace {

absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message* request) {
  grpc::ByteBuffer shared = bytes;  // the reader wants a mutable one; the slices are not copied
  grpc::ProtoBufferReader reader(&shared);
  if (reader.status().ok() && request->ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the request is no valid ", request->GetDescriptor()->full_name(),
                   "; send a protobuf message whose strings are UTF-8"));
}

absl::Status CheckDeadline(const grpc::CallbackServerContext& context) {
  if (context.deadline() > std::chrono::system_clock::now()) return absl::OkStatus();
  return absl::DeadlineExceededError("the deadline passed before the request was looked at");
}

}  // namespace

absl::StatusOr<Caller> BeginCall(const grpc::CallbackServerContext& context, const Gate& gate) {
  if (absl::Status status = CheckDeadline(context); !status.ok()) return status;
  return gate.Admit(context);
}

absl::Status ReadRequest(const Caller& caller, const grpc::ByteBuffer& bytes,
                         google::protobuf::Message* request) {
  if (absl::Status status = Parse(bytes, request); !status.ok()) return status;
  return CheckResources(caller, *request);
}

grpc::ByteBuffer ToBytes(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  const size_t size = message.ByteSizeLong();
  grpc::ProtoBufferWriter writer(&bytes, grpc::kProtoBufferWriterMaxBufferLength, int(size));
  CHECK(message.SerializeToZeroCopyStream(&writer));
  return bytes;
}

absl::Status CancelledStatus(const grpc::CallbackServerContext& context) {
  if (CheckDeadline(context).ok()) return absl::CancelledError("the client left");
  return absl::DeadlineExceededError("the deadline passed; what was acknowledged is kept");
}

}  // namespace eidetic
