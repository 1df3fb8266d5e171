// Rewind, snapshots, export, import and operations at the edge.
#include <gmock/gmock.h>

#include <algorithm>

#include "server/edge_fixture.h"
#include "server/export_reactor.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

constexpr char kName[] = "tenants/acme/sessions/chat";

ServerOptions SmallImports() {
  ServerOptions options;
  options.max_import_bytes = 4096;
  return options;
}

class SessionPointsTest : public EdgeTest {
 protected:
  SessionPointsTest() : EdgeTest(SmallImports()) {
    EXPECT_TRUE(Create("chat", &session_).ok());
    operations_ = v1::OperationService::NewStub(channel_);
    std::vector<TokenId> tokens(500);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i % 100);
    engine_.export_result.log.Append(tokens);
    engine_.export_result.log.AppendGenerated(7);
  }

  grpc::Status Export(const std::string& snapshot, std::string* bytes) {
    v1::ExportSessionRequest request;
    request.set_name(kName);
    request.set_snapshot(snapshot);
    const auto context = Context();
    const auto stream = sessions_->ExportSession(context.get(), request);
    v1::ExportSessionResponse part;
    while (stream->Read(&part)) *bytes += part.data();
    return stream->Finish();
  }

  grpc::Status Import(const std::string& id, std::string_view bytes, size_t part_bytes = 100) {
    const auto context = Context();
    const auto stream = sessions_->ImportSession(context.get(), &session_);
    v1::ImportSessionRequest request;
    request.set_parent("tenants/acme");
    request.set_session_id(id);
    do {
      const std::string_view part = bytes.substr(0, part_bytes);
      bytes.remove_prefix(part.size());
      request.set_data(part.data(), part.size());
      if (!stream->Write(request)) break;
      request.Clear();
    } while (!bytes.empty());
    stream->WritesDone();
    return stream->Finish();
  }

  int64_t Sessions() {
    v1::ListSessionsRequest request;
    request.set_parent("tenants/acme");
    v1::ListSessionsResponse response;
    EXPECT_TRUE(sessions_->ListSessions(Context().get(), request, &response).ok());
    return response.sessions_size();
  }

  v1::Session session_;
  std::unique_ptr<v1::OperationService::Stub> operations_;
};

TEST_F(SessionPointsTest, SnapshotsAreNamedListedAndDeleted) {
  v1::SnapshotSessionRequest take;
  take.set_name(kName);
  v1::Snapshot snapshot;
  for (const char* id : {"b", "a", "c"}) {
    take.set_snapshot_id(id);
    ASSERT_TRUE(sessions_->SnapshotSession(Context().get(), take, &snapshot).ok());
  }
  EXPECT_EQ(snapshot.name(), std::string(kName) + "/snapshots/c");
  EXPECT_GT(snapshot.create_time().seconds(), 1'600'000'000);
  take.set_snapshot_id("No");
  EXPECT_EQ(BadField(sessions_->SnapshotSession(Context().get(), take, &snapshot)), "snapshot_id");
  take.set_snapshot_id("");
  ASSERT_TRUE(sessions_->SnapshotSession(Context().get(), take, &snapshot).ok());
  EXPECT_TRUE(SnapshotName::Parse(snapshot.name(), "name").ok()) << snapshot.name();

  v1::DeleteSnapshotRequest remove;
  remove.set_name(snapshot.name());
  google::protobuf::Empty empty;
  EXPECT_TRUE(sessions_->DeleteSnapshot(Context().get(), remove, &empty).ok());
  EXPECT_EQ(sessions_->DeleteSnapshot(Context().get(), remove, &empty).error_code(),
            grpc::StatusCode::NOT_FOUND);

  v1::ListSnapshotsRequest list;
  list.set_parent(kName);
  list.set_page_size(2);
  v1::ListSnapshotsResponse page;
  ASSERT_TRUE(sessions_->ListSnapshots(Context().get(), list, &page).ok());
  ASSERT_EQ(page.snapshots_size(), 2);
  EXPECT_EQ(page.snapshots(1).name(), std::string(kName) + "/snapshots/b");
  list.set_page_token(page.next_page_token());
  ASSERT_TRUE(sessions_->ListSnapshots(Context().get(), list, &page).ok());
  EXPECT_EQ(page.snapshots_size(), 1);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(SessionPointsTest, BadRequestsNameTheField) {
  v1::RewindSessionRequest rewind;
  rewind.set_name(kName);
  rewind.set_position(-1);
  EXPECT_EQ(BadField(sessions_->RewindSession(Context().get(), rewind, &session_)), "position");
  rewind.set_position(1);
  EXPECT_EQ(sessions_->RewindSession(Context().get(), rewind, &session_).error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
  v1::RestoreSessionRequest restore;
  restore.set_name(kName);
  EXPECT_EQ(BadField(sessions_->RestoreSession(Context().get(), restore, &session_)), "snapshot");
  restore.set_snapshot("tenants/acme/sessions/other/snapshots/a");
  EXPECT_EQ(BadField(sessions_->RestoreSession(Context().get(), restore, &session_)), "snapshot");
  std::string bytes;
  EXPECT_EQ(BadField(Export("a", &bytes)), "snapshot");
}

TEST_F(SessionPointsTest, AnExportIsImportedWhateverItsParts) {
  std::string bytes;
  ASSERT_TRUE(Export("", &bytes).ok());
  for (const size_t part : {size_t{1}, size_t{33}, bytes.size()}) {
    const grpc::Status status = Import("new-" + std::to_string(part), bytes, part);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(session_.position(), 501);
  }
}

TEST_F(SessionPointsTest, WhatIsNoWholeExportMakesNothing) {
  std::string bytes;
  ASSERT_TRUE(Export("", &bytes).ok());
  EXPECT_EQ(Import("x", bytes.substr(0, bytes.size() - 1)).error_code(),
            grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(Import("x", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Import("x", std::string(5000, 'x')).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(BadField(Import("No", bytes)), "session_id");
  engine_.engine_limits.block_tokens *= 2;
  const grpc::Status other = Import("x", bytes);
  EXPECT_EQ(other.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(other.error_message(), HasSubstr("block_tokens"));
  EXPECT_EQ(Sessions(), 1);
}

// Ends are not told apart from clients that die: what those sent makes nothing.
TEST_F(SessionPointsTest, AClientThatLeavesMakesNothing) {
  std::string bytes;
  ASSERT_TRUE(Export("", &bytes).ok());
  for (int i = 0; i < 2 * kMaxImports; ++i) {
    const auto context = Context();
    const auto stream = sessions_->ImportSession(context.get(), &session_);
    v1::ImportSessionRequest request;
    request.set_parent("tenants/acme");
    request.set_data(bytes);
    stream->Write(request);
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(FakeEngine::WaitFor([&] { return Import("last", bytes).ok(); }));
  EXPECT_EQ(Sessions(), 2);
}

TEST_F(SessionPointsTest, AWarmOperationTellsItsProgressAndCanBeCancelled) {
  engine_.hold_drain = true;
  v1::WarmSessionRequest request;
  request.set_name(kName);
  v1::Operation operation;
  ASSERT_TRUE(sessions_->WarmSession(Context().get(), request, &operation).ok());
  EXPECT_FALSE(operation.done());
  EXPECT_EQ(operation.metadata().session(), kName);
  v1::Operation second;
  EXPECT_EQ(sessions_->WarmSession(Context().get(), request, &second).error_code(),
            grpc::StatusCode::ABORTED);
  engine_.Progress(12);
  engine_.Settle();
  v1::WaitOperationRequest wait;
  wait.set_name(operation.name());
  wait.mutable_timeout()->set_nanos(30'000'000);
  ASSERT_TRUE(operations_->WaitOperation(Context().get(), wait, &operation).ok());
  EXPECT_EQ(operation.metadata().computed_position(), 12);
  EXPECT_FALSE(operation.done());
  v1::CancelOperationRequest cancel;
  cancel.set_name(operation.name());
  google::protobuf::Empty empty;
  ASSERT_TRUE(operations_->CancelOperation(Context().get(), cancel, &empty).ok());
  EXPECT_FALSE(engine_.writer_taken()) << "the session is let go";

  engine_.hold_drain = false;
  ASSERT_TRUE(sessions_->WarmSession(Context().get(), request, &operation).ok());
  wait.set_name(operation.name());
  wait.mutable_timeout()->set_seconds(10);
  ASSERT_TRUE(operations_->WaitOperation(Context().get(), wait, &operation).ok());
  EXPECT_TRUE(operation.done());
  EXPECT_FALSE(operation.has_error());
  v1::ListOperationsRequest list;
  list.set_parent("tenants/acme");
  v1::ListOperationsResponse all;
  ASSERT_TRUE(operations_->ListOperations(Context().get(), list, &all).ok());
  EXPECT_EQ(all.operations_size(), 2);
  list.set_parent("tenants/other");
  ASSERT_TRUE(operations_->ListOperations(Context().get(), list, &all).ok());
  EXPECT_EQ(all.operations_size(), 0);
  v1::GetOperationRequest get;
  get.set_name("tenants/acme/operations/none");
  EXPECT_EQ(operations_->GetOperation(Context().get(), get, &operation).error_code(),
            grpc::StatusCode::NOT_FOUND);
  wait.mutable_timeout()->set_seconds(61);
  EXPECT_EQ(BadField(operations_->WaitOperation(Context().get(), wait, &operation)), "timeout");
}

}  // namespace
}  // namespace eidetic
