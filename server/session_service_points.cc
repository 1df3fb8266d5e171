// The RPCs that take sessions back to points of their past, and the one that warms them.
#include <utility>
#include <vector>

#include "server/convert.h"
#include "server/page_token.h"
#include "server/session_service.h"
#include "server/to_proto.h"

namespace eidetic {

absl::Status SessionServiceImpl::Rewind(UnaryCall<v1::RewindSessionRequest, v1::Session>* call) {
  const v1::RewindSessionRequest& request = call->request();
  auto name = SessionName::Parse(request.name(), "name");
  if (!name.ok()) return name.status();
  const auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  if (request.position() < 0) return InvalidField("position", "is negative; the first is 0");
  served_->engine->RewindSession(*std::move(name), request.position(), *expected,
                                 [call, served = served_](const auto& info) {
                                   if (!info.ok()) return call->Reply(info.status());
                                   call->Reply(ToProto(*info, *served));
                                 });
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Snapshot(
    UnaryCall<v1::SnapshotSessionRequest, v1::Snapshot>* call) {
  const v1::SnapshotSessionRequest& request = call->request();
  auto session = SessionName::Parse(request.name(), "name");
  if (!session.ok()) return session.status();
  // Snapshots are named as sessions are.
  auto drawn = NewSessionName(session->tenant, request.snapshot_id());
  if (!drawn.ok()) {
    return InvalidField("snapshot_id",
                        "must be a letter, then letters, digits and '-', lower case, at most 63 "
                        "characters, or empty");
  }
  const auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  served_->engine->SnapshotSession({*std::move(session), std::move(drawn->session)}, *expected,
                                   [call](const auto& info) {
                                     if (!info.ok()) return call->Reply(info.status());
                                     call->Reply(ToProto(*info));
                                   });
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::ListPoints(
    UnaryCall<v1::ListSnapshotsRequest, v1::ListSnapshotsResponse>* call) {
  const v1::ListSnapshotsRequest& request = call->request();
  auto session = SessionName::Parse(request.parent(), "parent");
  if (!session.ok()) return session.status();
  const auto page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  auto after = DecodePageToken(request.parent(), request.page_token());
  if (!after.ok()) return after.status();
  const size_t size = *page_size;
  auto reply = [call, size](const absl::StatusOr<std::vector<SnapshotInfo>>& snapshots) {
    if (!snapshots.ok()) return call->Reply(snapshots.status());
    v1::ListSnapshotsResponse response;
    for (size_t i = 0; i < snapshots->size() && i < size; ++i) {
      *response.add_snapshots() = ToProto((*snapshots)[i]);
    }
    if (snapshots->size() > size) {
      response.set_next_page_token(
          EncodePageToken(call->request().parent(), (*snapshots)[size - 1].name.snapshot));
    }
    call->Reply(response);
  };
  // One more than the page, to learn whether there is another page.
  served_->engine->ListSnapshots(*std::move(session), *std::move(after), *page_size + 1,
                                 std::move(reply));
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::DeletePoint(
    UnaryCall<v1::DeleteSnapshotRequest, google::protobuf::Empty>* call) {
  auto name = SnapshotName::Parse(call->request().name(), "name");
  if (!name.ok()) return name.status();
  served_->engine->DeleteSnapshot(*std::move(name), [call](const absl::Status& status) {
    if (!status.ok()) return call->Reply(status);
    call->Reply(google::protobuf::Empty());
  });
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Restore(UnaryCall<v1::RestoreSessionRequest, v1::Session>* call) {
  const v1::RestoreSessionRequest& request = call->request();
  auto session = SessionName::Parse(request.name(), "name");
  if (!session.ok()) return session.status();
  auto snapshot = SnapshotOf(request, *session);
  if (!snapshot.ok()) return snapshot.status();
  if (!*snapshot) return InvalidField("snapshot", "is empty; name the session's snapshot");
  const auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  served_->engine->RestoreSession({*std::move(session), **std::move(snapshot)}, *expected,
                                  [call, served = served_](const auto& info) {
                                    if (!info.ok()) return call->Reply(info.status());
                                    call->Reply(ToProto(*info, *served));
                                  });
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Warm(UnaryCall<v1::WarmSessionRequest, v1::Operation>* call) {
  auto name = SessionName::Parse(call->request().name(), "name");
  if (!name.ok()) return name.status();
  operations_->Warm(*std::move(name), [call](const auto& operation) {
    if (!operation.ok()) return call->Reply(operation.status());
    call->Reply(*operation);
  });
  return absl::OkStatus();
}

}  // namespace eidetic
