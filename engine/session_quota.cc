#include "engine/session_quota.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic {

absl::Status CheckTierQuota(const SessionTable& sessions, const TenantQuota& quota,
                            const std::string& tenant) {
  if (quota.max_device_bytes == 0 && quota.max_host_bytes == 0 && quota.max_disk_bytes == 0) {
    return absl::OkStatus();
  }
  int64_t memory = 0, host = 0, disk = 0;
  sessions.ForEach([&](const std::shared_ptr<Session>& session) {
    if (session->name.tenant != tenant) return;
    const SessionInfo info = sessions.InfoOf(*session);
    memory += info.memory_bytes;
    host += info.host_bytes;
    disk += info.disk_bytes;
  });
  const std::tuple<const char*, int64_t, int64_t> tiers[] = {
      {"max_device_bytes", memory - host, quota.max_device_bytes},
      {"max_host_bytes", host, quota.max_host_bytes},
      {"max_disk_bytes", disk, quota.max_disk_bytes}};
  for (const auto& [name, used, most] : tiers) {
    if (most == 0 || used < most) continue;
    return QuotaError({.tenant = tenant,
                       .quota = name,
                       .what = absl::StrCat("its sessions take ", used, " bytes of ", most),
                       .retry = absl::InfiniteDuration()});
  }
  return absl::OkStatus();
}

absl::Status CheckSessionQuota(const SessionTable& sessions, const TenantQuota& quota,
                               const std::string& tenant) {
  int64_t count = 0;
  if (quota.max_sessions > 0) {
    sessions.ForEach(
        [&](const std::shared_ptr<Session>& session) { count += session->name.tenant == tenant; });
  }
  if (quota.max_sessions > 0 && count >= quota.max_sessions) {
    return QuotaError({.tenant = tenant,
                       .quota = "max_sessions",
                       .what = absl::StrCat("it has ", count, " of ", quota.max_sessions),
                       .retry = absl::InfiniteDuration()});
  }
  return CheckTierQuota(sessions, quota, tenant);
}

}  // namespace eidetic
