// Tokens of a row by logit: the highest first, the lower id among equals.
//
// Thread safety: none; one a thread. Ownership: borrows the row while it is used.
// Preconditions: no NaN in the row.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_TOKEN_ORDER_H_
#define EIDETIC_ENGINE_BACKEND_CPU_TOKEN_ORDER_H_

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "memory/ids.h"

namespace eidetic::cpu {

// Sorts as much of a row as is asked for: a nucleus is mostly a few dozen tokens of many thousand.
class TokenOrder {
 public:
  void Reset(const float* logits, int64_t count) {
    logits_ = logits;
    sorted_ = 0;
    ids_.resize(count);
    std::iota(ids_.begin(), ids_.end(), 0);
  }

  // Whether `a` comes before `b`.
  bool Before(memory::TokenId a, memory::TokenId b) const {
    return logits_[a] > logits_[b] || (logits_[a] == logits_[b] && a < b);
  }

  // The token at `rank`, below the row's count; 0 is the best.
  memory::TokenId At(int64_t rank) {
    if (rank >= sorted_) SortUpTo(std::max(rank + 1, 2 * sorted_));
    return ids_[rank];
  }

 private:
  static constexpr int64_t kFirstSorted = 32;

  void SortUpTo(int64_t wanted) {
    const int64_t count = static_cast<int64_t>(ids_.size());
    const int64_t end = std::min(count, std::max(wanted, kFirstSorted));
    std::partial_sort(ids_.begin() + sorted_, ids_.begin() + end, ids_.end(),
                      [this](memory::TokenId a, memory::TokenId b) { return Before(a, b); });
    sorted_ = end;
  }

  const float* logits_ = nullptr;
  int64_t sorted_ = 0;
  std::vector<memory::TokenId> ids_;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_TOKEN_ORDER_H_
