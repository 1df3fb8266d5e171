#include "engine/scheduler/plan.h"

#include <algorithm>
#include <tuple>

namespace eidetic {
namespace {

bool WaitedLonger(const PlanCandidate& a, const PlanCandidate& b) {
  return std::tie(a.last_step, a.arrival) < std::tie(b.last_step, b.arrival);
}

}  // namespace

std::vector<int32_t> Plan(std::span<const PlanCandidate> candidates, const PlanLimits& limits) {
  std::vector<int32_t> decode, prefill;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].paused) continue;
    (candidates[i].decoding ? decode : prefill).push_back(static_cast<int32_t>(i));
  }
  const auto waited_longer = [&](int32_t a, int32_t b) {
    return WaitedLonger(candidates[a], candidates[b]);
  };
  std::stable_sort(decode.begin(), decode.end(), waited_longer);
  std::stable_sort(prefill.begin(), prefill.end(), waited_longer);

  std::vector<int32_t> batch;
  int64_t rows = 0;
  const auto take = [&](int32_t i) {
    batch.push_back(i);
    rows += candidates[i].chunk_tokens;
  };
  const auto fits = [&](int32_t i) {
    return rows + candidates[i].chunk_tokens <= limits.max_batch_tokens;
  };
  // A place is kept for the prefill that waited longest; when there is only one
  // place, decoding and prefill take turns.
  size_t places = std::max(1, limits.max_batch_sequences);
  if (places == 1 && !decode.empty() && !prefill.empty()) {
    (waited_longer(prefill[0], decode[0]) ? decode : prefill).clear();
  }
  const size_t decode_places = prefill.empty() ? places : places - 1;
  for (int32_t i : decode) {
    if (batch.size() < decode_places && (batch.empty() || fits(i))) take(i);
  }
  if (!prefill.empty()) take(prefill[0]);
  for (size_t p = 1; p < prefill.size(); ++p) {
    if (batch.size() < places && fits(prefill[p])) take(prefill[p]);
  }
  return batch;
}

}  // namespace eidetic
