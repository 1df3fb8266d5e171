// What a tenant may take of the server, and how a refusal says so.
//
// Thread safety: plain values. Ownership: values. Preconditions: none.
#ifndef EIDETIC_ENGINE_SCHEDULER_TENANT_QUOTA_H_
#define EIDETIC_ENGINE_SCHEDULER_TENANT_QUOTA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace eidetic {

// 0: no quota, the server's own limits hold.
struct TenantQuota {
  double weight = 1;  // tokens that are computed for it, beside other tenants' that want more too
  int64_t max_sessions = 0;
  int64_t max_running_requests = 0;  // more of them wait
  int64_t max_queued_requests = 0;   // more of them are refused
  int64_t max_prompt_tokens = 0;     // of one request, or one append
  // Of prompts, appends and answers. An answer counts as max_tokens until it has ended.
  int64_t tokens_per_second = 0;  // as much as kBurst's may come at once
  int64_t tokens_per_day = 0;     // UTC
  // Of its sessions, by tier, when a request begins or a session is made.
  int64_t max_device_bytes = 0, max_host_bytes = 0, max_disk_bytes = 0;

  static constexpr absl::Duration kBurst = absl::Seconds(10);
};

struct TenantQuotas {
  TenantQuota standard;  // of tenants that are not named
  std::map<std::string, TenantQuota, std::less<>> named;

  const TenantQuota& Of(std::string_view tenant) const {
    const auto found = named.find(tenant);
    return found == named.end() ? standard : found->second;
  }
};

// Why a tenant was refused.
struct QuotaRefusal {
  std::string tenant;
  std::string quota;          // the member of TenantQuota
  std::string what;           // in words
  absl::Duration retry = {};  // after so long it may be let in; endless: not by waiting
};

// RESOURCE_EXHAUSTED, from which a QuotaRefusal can be had again.
absl::Status QuotaError(const QuotaRefusal& refusal);
std::optional<QuotaRefusal> QuotaRefusalOf(const absl::Status& status);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_TENANT_QUOTA_H_
