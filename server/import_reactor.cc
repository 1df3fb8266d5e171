#include "server/import_reactor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eidetic/v1/session_service.pb.h"
#include "server/convert.h"
#include "server/export_reactor.h"
#include "server/rpc.h"
#include "server/to_proto.h"

namespace eidetic {

grpc::ServerReadReactor<grpc::ByteBuffer>* ImportReactor::Start(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* out, const ServedModel* served,
    ImportLimits* limits) {
  auto* reactor = new ImportReactor(context, out, served, limits);
  absl::StatusOr<Caller> caller = BeginCall(*context, *served->gate);
  absl::Status status = caller.status();
  if (++limits->running > kMaxImports && status.ok()) {
    status = absl::ResourceExhaustedError(
        absl::StrCat(kMaxImports, " imports are running; retry when one has finished"));
  }
  if (status.ok()) {
    reactor->caller_ = *std::move(caller);
    reactor->StartRead(&reactor->received_);
  } else {
    reactor->Finish(ToGrpcStatus(status));
  }
  return reactor;
}

void ImportReactor::OnReadDone(bool ok) {
  // A client that dies ends the stream too; what it sent is then no whole export.
  absl::Status status = ok ? TakePart() : Import();
  if (!status.ok()) return Finish(ToGrpcStatus(status));
  if (ok) StartRead(&received_);
}

absl::Status ImportReactor::TakePart() {
  v1::ImportSessionRequest request;
  if (absl::Status status = ReadRequest(caller_, received_, &request); !status.ok()) return status;
  received_.Clear();
  if (!name_) {
    const auto tenant = SessionName::ParseTenant(request.parent(), "parent");
    if (!tenant.ok()) return tenant.status();
    auto name = NewSessionName(*tenant, request.session_id());
    if (!name.ok()) return name.status();
    name_ = *std::move(name);
  } else if (!request.parent().empty() || !request.session_id().empty()) {
    return InvalidField("parent", "is set in a later request; only the first names the session");
  }
  if (static_cast<int64_t>(bytes_.size() + request.data().size()) > limits_->max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("data: has more than ", limits_->max_bytes,
                     " bytes; raise the server's --max_import_bytes"));
  }
  bytes_ += request.data();
  return absl::OkStatus();
}

absl::Status ImportReactor::Import() {
  if (context_->IsCancelled()) return CancelledStatus(*context_);
  if (!name_) {
    return InvalidField("parent", "is missing; the first request names the tenant");
  }
  absl::StatusOr<ExportedSession> session =
      DecodeExport(std::exchange(bytes_, {}), BindingOf(*served_->engine));
  if (!session.ok()) return session.status();
  served_->engine->ImportSession(*name_, *std::move(session),
                                 [this](const absl::StatusOr<SessionInfo>& info) {
                                   if (info.ok()) *out_ = ToBytes(ToProto(*info, *served_));
                                   Finish(ToGrpcStatus(info.status()));
                                 });
  return absl::OkStatus();
}

}  // namespace eidetic
