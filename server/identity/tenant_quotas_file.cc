#include "server/identity/tenant_quotas_file.h"

#include <optional>
#include <string>
#include <utility>

#include "engine/session_name.h"
#include "server/identity/strict_json.h"

namespace eidetic {
namespace {

constexpr size_t kMaxNameChars = 64;
constexpr double kMaxWeight = 1e6, kMinWeight = 1e-6;
constexpr double kMaxCount = 1e15;

struct Member {
  const char* name;
  int64_t TenantQuota::*value;
};
constexpr Member kMembers[] = {
    {"max_sessions", &TenantQuota::max_sessions},
    {"max_running_requests", &TenantQuota::max_running_requests},
    {"max_queued_requests", &TenantQuota::max_queued_requests},
    {"max_prompt_tokens", &TenantQuota::max_prompt_tokens},
    {"tokens_per_second", &TenantQuota::tokens_per_second},
    {"tokens_per_day", &TenantQuota::tokens_per_day},
    {"max_device_bytes", &TenantQuota::max_device_bytes},
    {"max_host_bytes", &TenantQuota::max_host_bytes},
    {"max_disk_bytes", &TenantQuota::max_disk_bytes},
};

absl::StatusOr<TenantQuota> ParseQuota(const JsonObject& entry) {
  absl::Status names =
      entry.CheckNames({"tenant", "weight", "max_sessions", "max_running_requests",
                        "max_queued_requests", "max_prompt_tokens", "tokens_per_second",
                        "tokens_per_day", "max_device_bytes", "max_host_bytes", "max_disk_bytes"});
  if (!names.ok()) return names;
  TenantQuota quota;
  const auto weight = entry.OptionalNumber("weight", kMinWeight, kMaxWeight);
  if (!weight.ok()) return weight.status();
  quota.weight = weight->value_or(quota.weight);
  for (const Member& member : kMembers) {
    const auto value = entry.OptionalNumber(member.name, 1, kMaxCount);
    if (!value.ok()) return value.status();
    if (!*value) continue;
    quota.*member.value = static_cast<int64_t>(**value);
    if (static_cast<double>(quota.*member.value) == **value) continue;
    return entry.Refuse(member.name, "must be a whole number");
  }
  return quota;
}

}  // namespace

absl::StatusOr<TenantQuotas> ParseTenantQuotas(std::string_view json) {
  const auto tree = ParseStrictJson(json);
  if (!tree.ok()) return tree.status();
  const auto file = JsonObject::Of(*tree, "");
  if (!file.ok()) return file.status();
  absl::Status status = file->CheckNames({"tenants"});
  if (!status.ok()) return status;
  TenantQuotas quotas;
  bool standard = false;
  status = file->ForEach("tenants", [&](const JsonObject& entry) {
    const auto tenant = entry.Text("tenant", kMaxNameChars);
    if (!tenant.ok()) return tenant.status();
    if (*tenant != "*" && !SessionName::IsSegment(*tenant)) {
      return entry.Refuse("tenant",
                          "is \"*\", or a letter, then letters, digits and '-', lower "
                          "case");
    }
    auto quota = ParseQuota(entry);
    if (!quota.ok()) return quota.status();
    const bool added = *tenant == "*" ? !std::exchange(standard, true)
                                      : quotas.named.emplace(*tenant, *quota).second;
    if (!added) return entry.Refuse("tenant", "is given twice");
    if (*tenant == "*") quotas.standard = *quota;
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return quotas;
}

}  // namespace eidetic
