// A whole server over a FakeEngine, and a client's stubs, for tests.
//
// Thread safety: none. Ownership: owns everything, torn down in order. Preconditions: none.
#ifndef EIDETIC_SERVER_EDGE_FIXTURE_H_
#define EIDETIC_SERVER_EDGE_FIXTURE_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "server/fake_engine.h"
#include "server/server.h"

namespace eidetic {

// The detail of this type that travels with `status`, if one does.
template <typename Detail>
std::optional<Detail> FindDetail(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return std::nullopt;
  Detail found;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&found)) return found;
  }
  return std::nullopt;
}

// The field that an INVALID_ARGUMENT names, or "".
inline std::string BadField(const grpc::Status& status) {
  const auto bad = FindDetail<google::rpc::BadRequest>(status);
  return bad && bad->field_violations_size() == 1 ? bad->field_violations(0).field() : "";
}

// The bytes on the wire, for what no stub would send.
inline grpc::ByteBuffer Wire(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

using RawStream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
// A stream of `method` without its stub. `method` and `context` outlive it.
inline std::unique_ptr<RawStream> OpenRawStream(grpc::Channel* channel, const char* method,
                                                grpc::ClientContext* context) {
  const grpc::internal::RpcMethod rpc(method, grpc::internal::RpcMethod::BIDI_STREAMING);
  return std::unique_ptr<RawStream>(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
          channel, rpc, context));
}

class EdgeTest : public ::testing::Test {
 protected:
  explicit EdgeTest(ServerOptions options = {}) {
    options.address = "127.0.0.1:0";
    auto started =
        EideticServer::Start({&engine_, "models/fake", "fake backend"}, metrics_.get(), options);
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    metrics_->Watch(&engine_);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                   grpc::InsecureChannelCredentials());
    sessions_ = v1::SessionService::NewStub(channel_);
    generation_ = v1::GenerationService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }

  // So that a broken test ends.
  static std::unique_ptr<grpc::ClientContext> Context(absl::Duration patience = absl::Seconds(20)) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + patience));
    return context;
  }

  grpc::Status RawCall(const std::string& method, const std::string& bytes,
                       grpc::ByteBuffer* answer) {
    const auto context = Context();
    const grpc::ByteBuffer request = Wire(bytes);
    grpc::Status status;
    absl::Notification done;
    grpc::GenericStub(channel_).UnaryCall(context.get(), method, grpc::StubOptions(), &request,
                                          answer, [&](grpc::Status s) {
                                            status = std::move(s);
                                            done.Notify();
                                          });
    done.WaitForNotification();
    return status;
  }

  grpc::Status Create(const std::string& id, v1::Session* session) {
    v1::CreateSessionRequest request;
    request.set_parent("tenants/acme");
    request.set_session_id(id);
    return sessions_->CreateSession(Context().get(), request, session);
  }

  FakeEngine engine_;
  std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>("models/fake", "fake backend");
  std::unique_ptr<EideticServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SessionService::Stub> sessions_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_EDGE_FIXTURE_H_
