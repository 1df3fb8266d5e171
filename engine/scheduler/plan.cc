#include "engine/scheduler/plan.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

namespace eidetic {
namespace {

bool WaitedLonger(const PlanCandidate& a, const PlanCandidate& b) {
  return std::tie(a.last_step, a.arrival) < std::tie(b.last_step, b.arrival);
}

// Candidates of one kind in the order of the policy.
class Line {
 public:
  // `served` is shared by the lines of a step, and rises with what is taken.
  Line(std::span<const PlanCandidate> candidates, std::span<const PlanTenant> tenants,
       std::vector<double>* served)
      : candidates_(candidates), tenants_(tenants), served_(served), members_(tenants.size()) {}

  void Add(int32_t candidate) { members_[candidates_[candidate].tenant].push_back(candidate); }
  void Sort() {
    for (std::vector<int32_t>& members : members_) {
      std::stable_sort(members.begin(), members.end(), [&](int32_t a, int32_t b) {
        return WaitedLonger(candidates_[a], candidates_[b]);
      });
      std::reverse(members.begin(), members.end());  // what comes first goes first
    }
  }
  bool empty() const {
    return std::all_of(members_.begin(), members_.end(), [](auto& m) { return m.empty(); });
  }
  // Precondition: not empty.
  int32_t first() const { return members_[FirstTenant()].back(); }
  double first_served() const { return (*served_)[FirstTenant()]; }
  // Members of tenants that were served less than that.
  size_t CountServedLess(double served) const {
    size_t count = 0;
    for (size_t t = 0; t < members_.size(); ++t) {
      if ((*served_)[t] < served) count += members_[t].size();
    }
    return count;
  }
  // The first goes: it takes part in the step, or not.
  void Pop(bool taken) {
    const size_t tenant = FirstTenant();
    const PlanCandidate& candidate = candidates_[members_[tenant].back()];
    members_[tenant].pop_back();
    if (!taken) return;
    const auto rows = static_cast<double>(std::max<int64_t>(1, candidate.chunk_tokens));
    (*served_)[tenant] += rows / tenants_[tenant].weight;
  }

 private:
  size_t FirstTenant() const {
    std::optional<size_t> first;
    for (size_t t = 0; t < members_.size(); ++t) {
      if (members_[t].empty()) continue;
      if (!first || ComesBefore(t, *first)) first = t;
    }
    return *first;
  }
  bool ComesBefore(size_t a, size_t b) const {
    if ((*served_)[a] != (*served_)[b]) return (*served_)[a] < (*served_)[b];
    return WaitedLonger(candidates_[members_[a].back()], candidates_[members_[b].back()]);
  }

  const std::span<const PlanCandidate> candidates_;
  const std::span<const PlanTenant> tenants_;
  std::vector<double>* const served_;
  std::vector<std::vector<int32_t>> members_;  // of each tenant
};

// Rows of prompts that each tenant may have in a step: its part, by weight, of the budget that
// those present share. Who asks for more would make the step long for all of them.
std::vector<double> PromptShares(std::span<const PlanCandidate> candidates,
                                 std::span<const PlanTenant> tenants, const PlanLimits& limits) {
  std::vector<double> shares(tenants.size());
  for (const PlanCandidate& candidate : candidates) {
    shares[candidate.tenant] = tenants[candidate.tenant].weight;
  }
  const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share *= limits.max_batch_tokens / all;
  return shares;
}

}  // namespace

std::vector<int32_t> Plan(std::span<const PlanCandidate> candidates,
                          std::span<const PlanTenant> tenants, const PlanLimits& limits) {
  std::vector<double> served;
  for (const PlanTenant& tenant : tenants) served.push_back(tenant.served);
  Line decode(candidates, tenants, &served), prefill(candidates, tenants, &served);
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].paused) continue;
    (candidates[i].decoding ? decode : prefill).Add(static_cast<int32_t>(i));
  }
  decode.Sort();
  prefill.Sort();

  std::vector<int32_t> batch;
  int64_t rows = 0;
  // A place is kept for a prefill; when there is only one place, decoding and prefill take turns.
  const size_t places = std::max(1, limits.max_batch_sequences);
  size_t decode_places = prefill.empty() ? places : places - 1;
  if (places == 1 && !decode.empty() && !prefill.empty()) {
    decode_places = WaitedLonger(candidates[prefill.first()], candidates[decode.first()]) ? 0 : 1;
  }
  const std::vector<double> shares = PromptShares(candidates, tenants, limits);
  std::vector<double> prompt_rows(tenants.size());
  const auto has_share_left = [&](const PlanCandidate& candidate) {
    return candidate.decoding || prompt_rows[candidate.tenant] < shares[candidate.tenant];
  };
  // Decoders of tenants that were served more leave places to the others' prompts.
  const auto leaves_place = [&](const Line& line) {
    return &line == &decode &&
           places - batch.size() <= prefill.CountServedLess(decode.first_served());
  };
  const auto take_while_it_fits = [&](Line* line, size_t most, bool one_in_any_case) {
    while (!line->empty() && batch.size() < most && !leaves_place(*line)) {
      const int32_t i = line->first();
      const bool fits = rows + candidates[i].chunk_tokens <= limits.max_batch_tokens &&
                        has_share_left(candidates[i]);
      const bool taken = fits || std::exchange(one_in_any_case, false);
      one_in_any_case = false;
      line->Pop(taken);
      if (!taken) continue;
      batch.push_back(i);
      rows += candidates[i].chunk_tokens;
      if (!candidates[i].decoding) {
        prompt_rows[candidates[i].tenant] += candidates[i].chunk_tokens;
      }
    }
  };
  take_while_it_fits(&decode, decode_places, /*one_in_any_case=*/true);
  take_while_it_fits(&prefill, places, /*one_in_any_case=*/true);
  take_while_it_fits(&decode, places, /*one_in_any_case=*/false);
  return batch;
}

}  // namespace eidetic
