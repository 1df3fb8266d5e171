// The file that says what each tenant may take.
//
// What: {"tenants": [{"tenant": "acme", "weight": 2, "max_sessions": 100, ...}, ...]}; the members
//   are those of TenantQuota, a missing one is no quota. The tenant "*" stands for all that are not
//   named.
// Thread safety: pure function. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_TENANT_QUOTAS_FILE_H_
#define EIDETIC_SERVER_IDENTITY_TENANT_QUOTAS_FILE_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/scheduler/tenant_quota.h"

namespace eidetic {

// INVALID_ARGUMENT beginning with the place, as strict_json.h says.
absl::StatusOr<TenantQuotas> ParseTenantQuotas(std::string_view json);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_TENANT_QUOTAS_FILE_H_
