// What the table tells of its sessions.
#include "engine/durable/checkpoint.h"
#include "engine/session_table.h"

namespace eidetic {

absl::StatusOr<SessionInfo> SessionTable::Info(const SessionName& name) const {
  if (const auto damaged = damaged_.find(name); damaged != damaged_.end()) {
    return InfoOf(damaged->second);
  }
  absl::StatusOr<std::shared_ptr<Session>> session = Find(name);
  if (!session.ok()) return session.status();
  return InfoOf(**session);
}

std::vector<SessionInfo> SessionTable::List(const std::string& tenant, const std::string& after,
                                            int32_t limit) const {
  std::vector<SessionInfo> infos;
  const SessionName from{tenant, after};
  auto whole = sessions_.upper_bound(from);
  auto damaged = damaged_.upper_bound(from);
  while (infos.size() < static_cast<size_t>(limit)) {
    const bool any_whole = whole != sessions_.end() && whole->first.tenant == tenant;
    const bool any_damaged = damaged != damaged_.end() && damaged->first.tenant == tenant;
    if (!any_whole && !any_damaged) break;
    if (any_whole && (!any_damaged || whole->first < damaged->first)) {
      infos.push_back(InfoOf(*(whole++)->second));
    } else {
      infos.push_back(InfoOf((damaged++)->second));
    }
  }
  return infos;
}

SessionTier SessionTable::TierOf(const Session& session) const {
  if (session.memory == nullptr) return SessionTier::kAsleep;
  return session.memory->has_host_pages() ? SessionTier::kHost : SessionTier::kDevice;
}

SessionInfo SessionTable::InfoOf(const Session& session) const {
  return {.name = session.name,
          .settings = session.settings.last(),
          .create_time = session.create_time,
          .update_time = session.update_time,
          .position = session.position(),
          .computed = session.computed(),
          .busy = session.busy,
          .memory_bytes = session.memory == nullptr ? 0 : BytesOf(*session.memory),
          .host_bytes = session.memory == nullptr || pool_->host_pages() == nullptr
                            ? 0
                            : session.memory->host_page_count() *
                                  static_cast<int64_t>(pool_->host_pages()->page_bytes()),
          .disk_bytes = session.checkpoint == nullptr ? 0 : session.checkpoint->bytes,
          .tier = TierOf(session),
          .last_use_time = session.last_use(),
          .expire_after = session.expire_after,
          .bit_identical = session.bit_identical,
          .adapter = session.adapter == nullptr ? "" : session.adapter->name.adapter};
}

SessionInfo SessionTable::InfoOf(const DamagedSession& session) {
  SessionInfo info;
  info.name = session.name;
  info.tier = SessionTier::kAsleep;
  info.damage = std::string(session.why.message());
  return info;
}

int64_t SessionTable::BytesOf(const memory::SessionMemory& memory) const {
  const auto bytes = [](int64_t count, size_t each) { return count * static_cast<int64_t>(each); };
  return bytes(memory.page_count(), pool_->pages().page_bytes()) +
         bytes(memory.tile_count(), pool_->tiles().page_bytes()) +
         bytes(memory.working() ? 2 : 1, pool_->slots().slot_bytes());
}

}  // namespace eidetic
