#include <utility>

#include "absl/time/clock.h"
#include "server/fake_engine.h"

namespace eidetic {

void FakeEngine::RewindSession(SessionName name, memory::Position position,
                               std::optional<memory::Position>, Done<SessionInfo> done) {
  Post([this, name, position, done] {
    absl::StatusOr<SessionInfo> result;
    {
      absl::MutexLock lock(&mutex_);
      result = Find(name);
      if (result.ok() && position > result->position) {
        result = absl::OutOfRangeError("position: is beyond the log");
      } else if (result.ok()) {
        result->position = sessions_[name.ToString()].position = position;
      }
    }
    done(result);
  });
}

void FakeEngine::SnapshotSession(SnapshotName snapshot, std::optional<memory::Position>,
                                 Done<SnapshotInfo> done) {
  Post([this, snapshot, done] {
    absl::StatusOr<SnapshotInfo> result;
    {
      absl::MutexLock lock(&mutex_);
      const absl::StatusOr<SessionInfo> session = Find(snapshot.session);
      if (session.ok()) {
        result = snapshots_[snapshot] = {snapshot, session->position, absl::Now()};
      } else {
        result = session.status();
      }
    }
    done(result);
  });
}

void FakeEngine::ListSnapshots(SessionName name, std::string after, int32_t limit,
                               Done<std::vector<SnapshotInfo>> done) {
  Post([this, name, after, limit, done] {
    std::vector<SnapshotInfo> found;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [snapshot, info] : snapshots_) {
        if (snapshot.session != name || snapshot.snapshot <= after) continue;
        if (static_cast<int32_t>(found.size()) < limit) found.push_back(info);
      }
    }
    done(found);
  });
}

void FakeEngine::DeleteSnapshot(SnapshotName snapshot, std::function<void(absl::Status)> done) {
  Post([this, snapshot, done] {
    bool erased = false;
    {
      absl::MutexLock lock(&mutex_);
      erased = snapshots_.erase(snapshot) > 0;
    }
    done(erased ? absl::OkStatus() : absl::NotFoundError("there is no such snapshot"));
  });
}

void FakeEngine::RestoreSession(SnapshotName snapshot, std::optional<memory::Position>,
                                Done<SessionInfo> done) {
  Post([this, snapshot, done] {
    absl::StatusOr<SessionInfo> result;
    {
      absl::MutexLock lock(&mutex_);
      result = Find(snapshot.session);
      if (result.ok()) {
        result->position = sessions_[snapshot.session.ToString()].position =
            snapshots_[snapshot].position;
      }
    }
    done(result);
  });
}

void FakeEngine::ExportSession(SessionName name, std::optional<std::string>,
                               Done<ExportedSession> done) {
  Post([this, name, done] {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = Find(name).status();
    }
    done(status.ok() ? absl::StatusOr<ExportedSession>(export_result) : status);
  });
}

void FakeEngine::ImportSession(SessionName name, ExportedSession exported, Done<SessionInfo> done) {
  Post([this, name, exported, done] {
    SessionInfo info{.name = name,
                     .settings = exported.settings.last(),
                     .create_time = absl::Now(),
                     .update_time = absl::Now(),
                     .position = exported.log.size()};
    {
      absl::MutexLock lock(&mutex_);
      sessions_[name.ToString()] = info;
    }
    done(info);
  });
}

void FakeEngine::LoadAdapter(AdapterName name, std::string folder, Done<AdapterInfo> done) {
  Post([this, name, folder, done] {
    AdapterInfo info{.name = name, .folder = folder, .content_hash = "cd34", .memory_bytes = 7};
    {
      absl::MutexLock lock(&mutex_);
      adapters_[name] = info;
    }
    done(info);
  });
}

void FakeEngine::UnloadAdapter(AdapterName name, std::function<void(absl::Status)> done) {
  Post([this, name, done] {
    bool found = false;
    {
      absl::MutexLock lock(&mutex_);
      found = adapters_.erase(name) > 0;
    }
    done(found ? absl::OkStatus() : NoSuchAdapter(name));
  });
}

void FakeEngine::ListAdapters(std::string tenant, std::string after, int32_t limit,
                              Done<std::vector<AdapterInfo>> done) {
  Post([this, tenant, after, limit, done] {
    std::vector<AdapterInfo> found;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [name, info] : adapters_) {
        if (name.tenant != tenant || name.adapter <= after) continue;
        if (static_cast<int32_t>(found.size()) < limit) found.push_back(info);
      }
    }
    done(found);
  });
}

}  // namespace eidetic
