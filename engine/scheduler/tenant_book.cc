#include "engine/scheduler/tenant_book.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr double kNewEnd = 0.25;  // share of the newest in the mean time between ends
constexpr absl::Duration kLongestBetweenEnds = absl::Minutes(1);

int64_t DayOf(absl::Time time) { return absl::ToUnixSeconds(time) / absl::ToInt64Seconds(kDay); }

double BurstOf(const TenantQuota& quota) {
  return static_cast<double>(quota.tokens_per_second) * absl::ToDoubleSeconds(TenantQuota::kBurst);
}

}  // namespace

TenantBook::Account* TenantBook::Of(const std::string& tenant) {
  const auto [entry, added] = accounts_.try_emplace(tenant);
  if (added) entry->second.tenant = tenant;
  return &entry->second;
}

absl::Status TenantBook::CheckQueue(const std::string& tenant) {
  const TenantQuota& quota = QuotaOf(tenant);
  const Account& account = *Of(tenant);
  if (quota.max_queued_requests == 0 || account.queued < quota.max_queued_requests) {
    return absl::OkStatus();
  }
  return QuotaError({.tenant = tenant,
                     .quota = "max_queued_requests",
                     .what = absl::StrCat(account.queued, " requests wait already"),
                     .retry = account.between_ends});
}

void TenantBook::Ended(Account* account) {
  const absl::Time now = now_();
  if (account->last_end != absl::InfinitePast()) {
    const absl::Duration since = std::min(now - account->last_end, kLongestBetweenEnds);
    account->between_ends += kNewEnd * (since - account->between_ends);
  }
  account->last_end = now;
}

absl::Status TenantBook::CheckPrompt(const std::string& tenant, int64_t tokens) const {
  const int64_t most = QuotaOf(tenant).max_prompt_tokens;
  if (most == 0 || tokens <= most) return absl::OkStatus();
  return QuotaError({.tenant = tenant,
                     .quota = "max_prompt_tokens",
                     .what = absl::StrCat("the prompt has ", tokens, " tokens of at most ", most),
                     .retry = absl::InfiniteDuration()});
}

void TenantBook::Fill(Account* account, const TenantQuota& quota) const {
  const absl::Time now = now_();
  const double most = BurstOf(quota);
  if (account->filled == absl::InfinitePast()) {
    account->burst = most;
  } else {
    const double seconds = absl::ToDoubleSeconds(now - account->filled);
    account->burst =
        std::min(most, account->burst + seconds * static_cast<double>(quota.tokens_per_second));
  }
  account->filled = now;
  if (account->day == DayOf(now)) return;
  account->day = DayOf(now);
  account->day_tokens = 0;
}

absl::Status TenantBook::CheckSecond(const Account& account, const TenantQuota& quota,
                                     int64_t tokens) const {
  const double missing = static_cast<double>(tokens) - account.burst;
  if (quota.tokens_per_second == 0 || missing <= 0) return absl::OkStatus();
  const bool never = static_cast<double>(tokens) > BurstOf(quota);
  const double seconds = missing / static_cast<double>(quota.tokens_per_second);
  return QuotaError(
      {.tenant = account.tenant,
       .quota = "tokens_per_second",
       .what = absl::StrCat("the request may take ", tokens, " tokens, of ",
                            quota.tokens_per_second, " a second and ", BurstOf(quota), " at once"),
       .retry = never ? absl::InfiniteDuration() : absl::Seconds(seconds)});
}

absl::Status TenantBook::CheckDay(const Account& account, const TenantQuota& quota,
                                  int64_t tokens) const {
  if (quota.tokens_per_day == 0 || account.day_tokens + tokens <= quota.tokens_per_day) {
    return absl::OkStatus();
  }
  const absl::Time tomorrow = absl::UnixEpoch() + (account.day + 1) * kDay;
  return QuotaError(
      {.tenant = account.tenant,
       .quota = "tokens_per_day",
       .what = absl::StrCat("the request may take ", tokens, " tokens, and ", account.day_tokens,
                            " of ", quota.tokens_per_day, " were taken today (UTC)"),
       .retry = tokens > quota.tokens_per_day ? absl::InfiniteDuration() : tomorrow - now_()});
}

absl::Status TenantBook::Charge(const std::string& tenant, int64_t tokens) {
  const TenantQuota& quota = QuotaOf(tenant);
  if (quota.tokens_per_second == 0 && quota.tokens_per_day == 0) return absl::OkStatus();
  Account* const account = Of(tenant);
  Fill(account, quota);
  absl::Status status = CheckDay(*account, quota, tokens);
  if (status.ok()) status = CheckSecond(*account, quota, tokens);
  if (!status.ok()) return status;
  account->burst -= static_cast<double>(tokens);
  account->day_tokens += tokens;
  return absl::OkStatus();
}

void TenantBook::Refund(const std::string& tenant, int64_t tokens) {
  const TenantQuota& quota = QuotaOf(tenant);
  if (quota.tokens_per_second == 0 && quota.tokens_per_day == 0) return;
  Account* const account = Of(tenant);
  Fill(account, quota);
  account->burst = std::min(BurstOf(quota), account->burst + static_cast<double>(tokens));
  account->day_tokens = std::max<int64_t>(0, account->day_tokens - tokens);
}

void TenantBook::BeginStep() {
  double least = std::numeric_limits<double>::infinity();
  for (auto& [tenant, account] : accounts_) {
    if (account.at_work) least = std::min(least, account.served);
    account.at_work = false;
  }
  if (least < std::numeric_limits<double>::infinity()) {
    least_served_ = std::max(least_served_, least);
  }
}

void TenantBook::AtWork(Account* account) {
  if (std::exchange(account->at_work, true)) return;
  account->served = std::max(account->served, least_served_);
}

void TenantBook::Served(Account* account, int64_t tokens) {
  account->served += static_cast<double>(tokens) / QuotaOf(account->tenant).weight;
}

bool TenantBook::MayBeForgotten(Account* account) const {
  if (account->seats > 0 || account->at_work || account->served > least_served_) return false;
  const TenantQuota& quota = QuotaOf(account->tenant);
  Fill(account, quota);
  const bool spent_today = quota.tokens_per_day > 0 && account->day_tokens > 0;
  return !spent_today && account->burst >= BurstOf(quota);
}

void TenantBook::Expire() {
  for (auto entry = accounts_.begin(); entry != accounts_.end();) {
    entry = MayBeForgotten(&entry->second) ? accounts_.erase(entry) : std::next(entry);
  }
}

}  // namespace eidetic
