#include "server/export_reactor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "eidetic/v1/session_service.pb.h"
#include "server/convert.h"
#include "server/rpc.h"

namespace eidetic {
namespace {

// Well below what clients take in one message.
constexpr size_t kPartBytes = size_t{1} << 20;

}  // namespace

ExportBinding BindingOf(const Engine& engine) {
  return {.model_hash = engine.model().content_hash(),
          .block_tokens = engine.limits().block_tokens,
          .query_chunk_tokens = engine.limits().query_chunk_tokens,
          .vocab_size = engine.model().description().vocab_size};
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ExportReactor::Start(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer& request,
    const ServedModel* served) {
  auto* reactor = new ExportReactor(context, served);
  const absl::Status status = reactor->Begin(request);
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::Status ExportReactor::Begin(const grpc::ByteBuffer& bytes) {
  v1::ExportSessionRequest request;
  const absl::StatusOr<Caller> caller = BeginCall(*context_, *served_->gate);
  if (!caller.ok()) return caller.status();
  if (absl::Status status = ReadRequest(*caller, bytes, &request); !status.ok()) return status;
  auto name = SessionName::Parse(request.name(), "name");
  if (!name.ok()) return name.status();
  auto snapshot = SnapshotOf(request, *name);
  if (!snapshot.ok()) return snapshot.status();
  served_->engine->ExportSession(*std::move(name), *std::move(snapshot),
                                 [this](absl::StatusOr<ExportedSession> session) {
                                   if (!session.ok()) return Finish(ToGrpcStatus(session.status()));
                                   session_ = *std::move(session);
                                   StartSendInitialMetadata();
                                 });
  return absl::OkStatus();
}

void ExportReactor::OnSendInitialMetadataDone(bool ok) {
  if (!ok) return Finish(ToGrpcStatus(CancelledStatus(*context_)));
  bytes_ = EncodeExport(session_, BindingOf(*served_->engine));
  session_ = {};
  WriteNext();
}

void ExportReactor::WriteNext() {
  if (written_ == bytes_.size()) return Finish(grpc::Status::OK);
  const size_t size = std::min(kPartBytes, bytes_.size() - written_);
  v1::ExportSessionResponse response;
  response.set_data(bytes_.data() + written_, size);
  written_ += size;
  message_ = ToBytes(response);
  StartWrite(&message_);
}

void ExportReactor::OnWriteDone(bool ok) {
  if (!ok) return Finish(ToGrpcStatus(CancelledStatus(*context_)));
  WriteNext();
}

}  // namespace eidetic
