// What each tenant has taken of the server, and what it may still take.
//
// What: an account a tenant: its work that is there, the tokens computed for it, and its budgets.
//   Tokens are weighed as in start-time fair queueing (Goyal, Vin and Cheng 1996): a tenant's
//   `served` rises by tokens over weight, and one that comes back from rest begins where the
//   least served of those at work stands, so that rest earns nothing and costs nothing.
// Thread safety: none; the engine's loop owns it. Ownership: owns the accounts; one stays where it
//   is while anything of the tenant's is there. Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_TENANT_BOOK_H_
#define EIDETIC_ENGINE_SCHEDULER_TENANT_BOOK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/scheduler/tenant_quota.h"

namespace eidetic {

class TenantBook {
 public:
  struct Account {
    std::string tenant;
    int64_t seats = 0;  // sequences that have not ended, of them:
    int64_t running = 0, queued = 0;
    double served = 0;
    bool at_work = false;  // had something for the last step
    // Of tokens_per_second: what may be taken now, as of `filled`.
    double burst = 0;
    absl::Time filled = absl::InfinitePast();
    int64_t day = -1;  // since 1970, UTC; `day_tokens` were taken in it
    int64_t day_tokens = 0;
    // Of its sequences' ends.
    absl::Time last_end = absl::InfinitePast();
    absl::Duration between_ends = absl::Seconds(1);
  };

  explicit TenantBook(std::function<absl::Time()> now) : now_(std::move(now)) {}

  // From now on; what was taken stays taken.
  void SetQuotas(TenantQuotas quotas) { quotas_ = std::move(quotas); }
  const TenantQuota& QuotaOf(const std::string& tenant) const { return quotas_.Of(tenant); }

  Account* Of(const std::string& tenant);
  // Whether one more request may come: QuotaError when too many wait.
  absl::Status CheckQueue(const std::string& tenant);
  // A request of the tenant has ended.
  void Ended(Account* account);

  // QuotaError when a prompt is too long.
  absl::Status CheckPrompt(const std::string& tenant, int64_t tokens) const;
  // Takes `tokens` of the tenant's budgets, or nothing: QuotaError that says when there are enough.
  absl::Status Charge(const std::string& tenant, int64_t tokens);
  // Gives back what was charged and not used.
  void Refund(const std::string& tenant, int64_t tokens);

  // Before a step: who has something for it. `at_work` of those that have not becomes false.
  void BeginStep();
  void AtWork(Account* account);
  void Served(Account* account, int64_t tokens);

  // Forgets accounts of which nothing need be remembered.
  void Expire();

 private:
  bool MayBeForgotten(Account* account) const;
  void Fill(Account* account, const TenantQuota& quota) const;
  absl::Status CheckSecond(const Account& account, const TenantQuota& quota, int64_t tokens) const;
  absl::Status CheckDay(const Account& account, const TenantQuota& quota, int64_t tokens) const;

  const std::function<absl::Time()> now_;
  TenantQuotas quotas_;
  std::map<std::string, Account> accounts_;
  double least_served_ = 0;  // of those at the last step; never falls
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_TENANT_BOOK_H_
