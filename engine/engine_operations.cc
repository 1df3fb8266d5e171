// The operations on whole sessions, posted to the loop's thread.
#include <utility>

#include "engine/engine_impl.h"

namespace eidetic {

void EngineImpl::RewindSession(SessionName name, memory::Position position,
                               std::optional<memory::Position> expected_position,
                               Done<SessionInfo> done) {
  Post(std::move(done), [this, name = std::move(name), position, expected_position] {
    return operations_.Rewind(name, position, expected_position);
  });
}

void EngineImpl::SnapshotSession(SnapshotName snapshot,
                                 std::optional<memory::Position> expected_position,
                                 Done<SnapshotInfo> done) {
  Post(std::move(done), [this, snapshot = std::move(snapshot), expected_position] {
    return operations_.Snapshot(snapshot, expected_position);
  });
}

void EngineImpl::ListSnapshots(SessionName name, std::string after, int32_t limit,
                               Done<std::vector<SnapshotInfo>> done) {
  PostRead(std::move(done), [this, name = std::move(name), after = std::move(after), limit] {
    return operations_.List(name, after, limit);
  });
}

void EngineImpl::DeleteSnapshot(SnapshotName snapshot, std::function<void(absl::Status)> done) {
  mailbox_->Post(
      [this, snapshot = std::move(snapshot), done = std::move(done)](absl::Status alive) {
        if (!alive.ok()) return done(alive);
        ledger_.Tell([done, status = operations_.Delete(snapshot)](const absl::Status& durable) {
          done(durable.ok() ? status : durable);
        });
      });
}

void EngineImpl::RestoreSession(SnapshotName snapshot,
                                std::optional<memory::Position> expected_position,
                                Done<SessionInfo> done) {
  Post(std::move(done), [this, snapshot = std::move(snapshot), expected_position] {
    return operations_.Restore(snapshot, expected_position);
  });
}

void EngineImpl::ExportSession(SessionName name, std::optional<std::string> snapshot,
                               Done<ExportedSession> done) {
  Post(std::move(done), [this, name = std::move(name), snapshot = std::move(snapshot)] {
    return operations_.Export(name, snapshot);
  });
}

void EngineImpl::ImportSession(SessionName name, ExportedSession exported, Done<SessionInfo> done) {
  Post(std::move(done),
       [this, name = std::move(name),
        exported = std::move(exported)]() mutable -> absl::StatusOr<SessionInfo> {
         auto adapter = adapters_.FindContent(name.tenant, exported.adapter);
         if (!adapter.ok()) return adapter.status();
         return operations_.Import(name, std::move(exported), *std::move(adapter));
       });
}

void EngineImpl::LoadAdapter(AdapterName name, std::string folder, Done<AdapterInfo> done) {
  // Here, so that the loop goes on meanwhile.
  auto weights = std::make_shared<absl::StatusOr<std::unique_ptr<AdapterWeights>>>(
      adapters_.Read(name.tenant, folder));
  Post(std::move(done),
       [this, name = std::move(name), folder = std::move(folder),
        weights]() -> absl::StatusOr<AdapterInfo> {
         if (!weights->ok()) return weights->status();
         if (!loop_.lost().ok()) return loop_.lost();
         return adapters_.Load(name, folder, ***weights);
       });
}

void EngineImpl::UnloadAdapter(AdapterName name, std::function<void(absl::Status)> done) {
  mailbox_->Post([this, name = std::move(name), done = std::move(done)](absl::Status alive) {
    if (!alive.ok()) return done(alive);
    ledger_.Tell([done, status = adapters_.Unload(name)](const absl::Status& durable) {
      done(durable.ok() ? status : durable);
    });
  });
}

void EngineImpl::ListAdapters(std::string tenant, std::string after, int32_t limit,
                              Done<std::vector<AdapterInfo>> done) {
  PostRead(std::move(done), [this, tenant = std::move(tenant), after = std::move(after), limit] {
    return absl::StatusOr<std::vector<AdapterInfo>>(adapters_.List(tenant, after, limit));
  });
}

}  // namespace eidetic
