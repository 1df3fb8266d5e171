#include "engine/scheduler/tenant_quota.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace eidetic {
namespace {

constexpr char kPayload[] = "eidetic.engine/quota";

}  // namespace

absl::Status QuotaError(const QuotaRefusal& refusal) {
  const bool waiting_helps = refusal.retry < absl::InfiniteDuration();
  const std::string when =
      waiting_helps
          ? absl::StrCat("retry in ",
                         absl::FormatDuration(absl::Trunc(refusal.retry + absl::Milliseconds(1),
                                                          absl::Milliseconds(1))))
          : "waiting does not help: make it smaller, give something back, or ask for more";
  absl::Status status = absl::ResourceExhaustedError(absl::StrCat(
      refusal.quota, ": the quota of tenants/", refusal.tenant, ": ", refusal.what, "; ", when));
  const std::string when_text = absl::FormatDuration(refusal.retry);
  status.SetPayload(kPayload, absl::Cord(absl::StrCat(refusal.tenant, "\n", refusal.quota, "\n",
                                                      when_text, "\n", refusal.what)));
  return status;
}

std::optional<QuotaRefusal> QuotaRefusalOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return std::nullopt;
  const std::vector<std::string> parts =
      absl::StrSplit(std::string(*payload), absl::MaxSplits('\n', 3));
  QuotaRefusal refusal{.tenant = parts[0], .quota = parts[1], .what = parts[3]};
  if (!absl::ParseDuration(parts[2], &refusal.retry)) refusal.retry = absl::InfiniteDuration();
  return refusal;
}

}  // namespace eidetic
