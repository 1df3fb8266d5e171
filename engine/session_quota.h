// Whether a tenant's sessions leave room for one more, or for more work on them.
//
// Thread safety: the loop's thread. Ownership: borrows its arguments. Preconditions: none.
#ifndef EIDETIC_ENGINE_SESSION_QUOTA_H_
#define EIDETIC_ENGINE_SESSION_QUOTA_H_

#include <string>

#include "absl/status/status.h"
#include "engine/scheduler/tenant_quota.h"
#include "engine/session_table.h"

namespace eidetic {

// QuotaError when the tenant's sessions fill a tier as far as it may.
absl::Status CheckTierQuota(const SessionTable& sessions, const TenantQuota& quota,
                            const std::string& tenant);
// The same, and when it has as many sessions as it may.
absl::Status CheckSessionQuota(const SessionTable& sessions, const TenantQuota& quota,
                               const std::string& tenant);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SESSION_QUOTA_H_
