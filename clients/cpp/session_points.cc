// Session's calls that take it back to points of its past, carry it elsewhere, or warm it.
#include <utility>

#include "clients/cpp/client.h"
#include "clients/cpp/connection.h"
#include "clients/cpp/session.h"

namespace eidetic::client {
namespace {

// How often progress is told.
constexpr int kWaitMillis = 200;

}  // namespace

absl::Status Session::Rewind(int64_t position, std::optional<int64_t> expected_position) {
  v1::RewindSessionRequest request;
  request.set_name(name());
  request.set_position(position);
  if (expected_position) request.set_expected_position(*expected_position);
  auto session = connection_->Unary(connection_->sessions(),
                                    &v1::SessionService::Stub::RewindSession, request);
  if (session.ok()) session_ = *std::move(session);
  return session.status();
}

absl::StatusOr<v1::Snapshot> Session::TakeSnapshot(const std::string& id) const {
  v1::SnapshotSessionRequest request;
  request.set_name(name());
  request.set_snapshot_id(id);
  return connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::SnapshotSession,
                            request);
}

absl::StatusOr<std::vector<v1::Snapshot>> Session::ListSnapshots() const {
  std::vector<v1::Snapshot> snapshots;
  v1::ListSnapshotsRequest request;
  request.set_parent(name());
  do {
    auto page = connection_->Unary(connection_->sessions(),
                                   &v1::SessionService::Stub::ListSnapshots, request);
    if (!page.ok()) return page.status();
    for (v1::Snapshot& snapshot : *page->mutable_snapshots()) {
      snapshots.push_back(std::move(snapshot));
    }
    if (snapshots.size() > kMaxListed) return absl::OutOfRangeError("too many snapshots to list");
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return snapshots;
}

absl::Status Session::DeleteSnapshot(const std::string& id) const {
  v1::DeleteSnapshotRequest request;
  request.set_name(SnapshotName(id));
  return connection_
      ->Unary(connection_->sessions(), &v1::SessionService::Stub::DeleteSnapshot, request)
      .status();
}

absl::Status Session::Restore(const std::string& id, std::optional<int64_t> expected_position) {
  v1::RestoreSessionRequest request;
  request.set_name(name());
  request.set_snapshot(SnapshotName(id));
  if (expected_position) request.set_expected_position(*expected_position);
  auto session = connection_->Unary(connection_->sessions(),
                                    &v1::SessionService::Stub::RestoreSession, request);
  if (session.ok()) session_ = *std::move(session);
  return session.status();
}

absl::Status Session::Export(std::ostream& out, const std::string& id) const {
  v1::ExportSessionRequest request;
  request.set_name(name());
  if (!id.empty()) request.set_snapshot(SnapshotName(id));
  Connection::Call call(connection_.get(), connection_->options().stream_deadline);
  const auto stream = connection_->sessions().ExportSession(call.context(), request);
  v1::ExportSessionResponse part;
  while (stream->Read(&part)) {
    out.write(part.data().data(), static_cast<std::streamsize>(part.data().size()));
    if (!out) call.context()->TryCancel();
  }
  const grpc::Status status = stream->Finish();
  if (!out) return absl::UnknownError("the export can not be written; is the disk full?");
  return ToAbslStatus(status);
}

absl::Status Session::Warm(const std::function<void(const v1::WarmMetadata&)>& on_progress) {
  v1::WarmSessionRequest request;
  request.set_name(name());
  auto operation =
      connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::WarmSession, request);
  while (operation.ok()) {
    if (on_progress) on_progress(operation->metadata());
    session_.set_computed_position(operation->metadata().computed_position());
    if (operation->done()) {
      const google::rpc::Status& error = operation->error();
      return absl::Status(static_cast<absl::StatusCode>(error.code()), error.message());
    }
    v1::WaitOperationRequest wait;
    wait.set_name(operation->name());
    wait.mutable_timeout()->set_nanos(kWaitMillis * 1'000'000);
    operation = connection_->Unary(connection_->operations(),
                                   &v1::OperationService::Stub::WaitOperation, wait);
  }
  return operation.status();
}

}  // namespace eidetic::client
